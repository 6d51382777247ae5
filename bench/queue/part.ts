import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Answers, Order, Role } from './child.ts';
import type { ContenderName } from './contender.ts';

/** A contender's producer or worker process, seen from the benchmark. */
export class Part {
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #waiting = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
  #id = 0;

  constructor(contender: ContenderName, role: Role, server: string) {
    this.#what = `${contender}'s ${role}`;
    this.#child = fork(path.join(import.meta.dirname, 'child.ts'), [contender, role, server], {
      execArgv: (process.env['SLIPWAY_BENCH_NODE_OPTIONS'] ?? '').split(' ').filter((word) => word !== ''),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: { id: number; answer?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error === undefined) waiting?.resolve(message.answer);
      else waiting?.reject(new Error(`${this.#what}: ${message.error}`));
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${this.#what} ended (${signal ?? code})`));
    });
  }

  /** @throws what the process threw, or that it ended. */
  ask<Do extends Order['do']>(order: Order & { do: Do }): Promise<Answers[Do]> {
    return new Promise((resolve, reject) => {
      this.#id += 1;
      this.#waiting.set(this.#id, { resolve: (answer) => resolve(answer as Answers[Do]), reject });
      this.#child.send({ id: this.#id, order }, (error) => error !== null && reject(error));
    });
  }

  /** Ends the process, whatever it is doing. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(late);
  }
}
