import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Said } from './control-plane.ts';

/** A control plane's process, from its start on. */
export class ControlPlane {
  readonly began = performance.now();
  readonly #child: ChildProcess;
  readonly #heard = new Map<Said['said'], { said: Said; seconds: number }>();
  readonly #ended: Promise<unknown>;

  constructor(kubeconfig: string, environments: number) {
    this.#child = fork(path.join(import.meta.dirname, 'control-plane.ts'), [kubeconfig, `${environments}`]);
    this.#child.on('message', (said: Said) => this.#heard.set(said.said, { said, seconds: this.secondsNow() }));
    this.#ended = once(this.#child, 'exit');
  }

  secondsNow(): number {
    return (performance.now() - this.began) / 1_000;
  }

  /** Resolves with what it said, and how many seconds after its start. @throws {Error} when it ends before. */
  async until<Name extends Said['said']>(
    name: Name,
  ): Promise<{ said: Extract<Said, { said: Name }>; seconds: number }> {
    for (;;) {
      const heard = this.#heard.get(name);
      if (heard !== undefined) return heard as { said: Extract<Said, { said: Name }>; seconds: number };
      if (this.#hasEnded) throw new Error(`the control plane ended before it was ${name}`);
      await Promise.race([this.#ended, once(this.#child, 'message')]);
    }
  }

  /** MiB: what it has now, and the most it had since its start. */
  async memory(): Promise<{ now: number; most: number }> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
    return { now: mib('VmRSS'), most: mib('VmHWM') };
  }

  async remove(): Promise<void> {
    this.#child.send('remove');
    await this.until('removed');
  }

  /** Nothing is told to anybody. */
  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#child.kill('SIGKILL');
    await this.#ended;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
