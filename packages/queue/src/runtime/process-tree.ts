import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { endTree, isRunning, killLeftovers, readStat, signal, type Mark, type TreeWatch } from '../processes/index.ts';
import { within } from '../within.ts';
import type { Ending, StopCause } from './attempt-end.ts';
import type { AttemptCgroups, Cgroup } from './cgroup.ts';
import type { Guardian } from './guardian.ts';
import { dataBackstop, nodeOptions, type Limits } from './limits.ts';
import { OutputTail } from './output-tail.ts';

/** The variable that everything of a tree inherits; its value names the tree. */
export const markVariable = 'SLIPWAY_TREE';
/** Milliseconds from SIGTERM to SIGKILL. */
const termGrace = 1000;
/** Seconds that the pipes of a tree that is gone may take to be read to their end. */
const drainedWithin = 0.5;

/** What all trees of a supervisor share. */
export interface Supervision {
  /** A new name for a tree; all of them begin alike. */
  nameTree: () => string;
  watch: TreeWatch;
  guardian: Guardian;
  cgroups: AttemptCgroups | null;
  /** One line of a program's output. */
  onLine: (line: string) => void;
}

export interface TreeOptions {
  /** For `sh -c`. */
  command: string;
  cwd: string;
  /** The whole environment, without what is added here: the mark, and NODE_OPTIONS. */
  env: Record<string, string>;
  limits: Limits;
  /** `once`: the command is one attempt. `kept`: it also has fd 3 and 4, for tasks and answers. */
  how: 'once' | 'kept';
}

export interface TreeUsage {
  peakBytes: number;
  cpuSeconds: number;
}

/**
 * A shell around the command. It waits for a line before it does anything: by then it is in its control group, and the guardian knows it.
 * Around a command that runs once it stays, and tells the CPU time of everything that was waited for, which is lost with the last of them else.
 * It waits out a SIGTERM to the group; a trap, other than an ignored signal, is not inherited.
 */
const onceScript =
  'trap : TERM INT HUP; read -r go <&3 || exit 0; ulimit -d "$1" 2>/dev/null; sh -c "$2" 3>&-; code=$?; times >&3; exit $code';
const keptScript = 'read -r go <&5 || exit 0; ulimit -d "$1" 2>/dev/null; exec sh -c "$2" 5>&-';

/** A command and everything it starts: limited, measured, and ended as one. */
export class ProcessTree {
  readonly pid: number;
  /** What is kept of its output. */
  readonly output: OutputTail;
  readonly limits: Limits;
  /** Resolves when nothing of it runs any more. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #on: Supervision;
  readonly #mark: Mark;
  readonly #startTime: number | null;
  readonly #cgroup: Cgroup | null;
  readonly #streamsEnded: Promise<unknown>;
  #stopped: StopCause | null = null;
  #stopping: Promise<void> | null = null;
  #times = '';
  #usage: TreeUsage = { peakBytes: 0, cpuSeconds: 0 };
  #gone = false;

  /** @throws {Error} when the command can't be started at all: nothing of it ran. */
  static async start(options: TreeOptions, on: Supervision): Promise<ProcessTree> {
    const name = on.nameTree();
    const cgroup = on.cgroups?.make(name, options.limits) ?? null;
    const child = spawnShell(options, name, cgroup?.limitsMemory === true ? 'unlimited' : dataBackstop(options.limits));
    try {
      await once(child, 'spawn');
      // It still waits for the word to begin, so all that it starts will be born in the group.
      cgroup?.add(child.pid ?? 0);
    } catch (error) {
      child.kill('SIGKILL');
      await cgroup?.remove();
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`The worker's command can't be started in ${options.cwd}: ${why}`, { cause: error });
    }
    return new ProcessTree(child, options, on, name, cgroup);
  }

  private constructor(child: ChildProcess, options: TreeOptions, on: Supervision, name: string, cgroup: Cgroup | null) {
    this.#child = child;
    this.#on = on;
    this.#mark = { variable: markVariable, value: name };
    this.#cgroup = cgroup;
    this.pid = child.pid ?? 0;
    this.limits = options.limits;
    this.#startTime = readStat(this.pid)?.startTime ?? null;
    this.output = new OutputTail(on.onLine);
    const control = this.#channel(options.how === 'once' ? 3 : 5);
    control.setEncoding('latin1').on('data', (text: string) => (this.#times = (this.#times + text).slice(0, 1000)));
    const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
    this.#streamsEnded = Promise.all([
      ...streams.map((stream) => this.output.read(stream)),
      new Promise((resolve) => control.on('close', resolve)),
    ]);
    this.ended = this.#end(once(child, 'exit'));
    on.guardian.add(this.pid);
    // The kernel keeps the limit of a cgroup by itself, and to the byte; then it is only measured.
    const limit = cgroup?.limitsMemory === true ? null : options.limits.memoryBytes;
    on.watch.watch(name, { leader: this.pid, limit, exceeded: (bytes) => void this.stop({ kind: 'oom', bytes }) });
    control.write('go\n');
    if (options.how === 'kept') control.end();
  }

  /** One of the kept program's channels: 3 for tasks, 4 for answers. */
  channel(fd: 3 | 4): Duplex {
    return this.#channel(fd);
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** Bytes in use now; and the peak, seen from here on, begins anew. */
  measureAnew(): { bytes: number; cpuSeconds: number } {
    this.#on.watch.forgetPeak(this.#mark.value);
    const { bytes = 0, cpuSeconds = 0 } = this.#on.watch.use(this.#mark.value) ?? {};
    return { bytes, cpuSeconds: this.#cgroup?.cpuSeconds ?? cpuSeconds };
  }

  /** What it used so far, or up to its end. */
  get usage(): TreeUsage {
    this.#measure();
    return this.#usage;
  }

  /**
   * Ends all of it: too much memory at once, anything else by SIGTERM, and after a second SIGKILL. The first cause given is the one that
   * counts. Resolves when nothing of it runs.
   */
  async stop(cause: StopCause | null): Promise<void> {
    // What has ended by itself keeps its own end.
    if (this.#stopping === null && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#stopped = cause;
      this.#stopping = this.#endAll(cause?.kind === 'oom' ? 0 : termGrace);
    }
    await this.#stopping;
    await this.ended;
  }

  async #endAll(graceMs: number): Promise<void> {
    const leader = { pid: this.pid, startTime: this.#startTime };
    const runs = (): boolean => this.#startTime !== null && isRunning(this.pid, this.#startTime);
    if (graceMs === 0) {
      this.#cgroup?.kill();
      if (runs()) signal({ group: this.pid }, 'SIGKILL');
    }
    await endTree(this.#mark, leader, runs, graceMs);
  }

  async #end(exit: Promise<unknown[]>): Promise<Ending> {
    await exit;
    this.#measure();
    if (this.#stopping === null) {
      this.#cgroup?.kill();
      const leader = { pid: this.pid, startTime: this.#startTime };
      // A cgroup knows without a look at all processes.
      const isEmpty = this.#cgroup !== null || !(await this.#on.watch.hasMembers(this.#mark.value));
      if (!isEmpty) await killLeftovers(this.#mark, leader);
    } else await this.#stopping;
    await within(drainedWithin, this.#streamsEnded);
    for (const stream of this.#child.stdio) stream?.destroy();
    this.#measure();
    const oomKills = this.#cgroup?.oomKills ?? 0;
    this.#gone = true;
    this.#on.watch.forget(this.#mark.value);
    this.#on.guardian.delete(this.pid);
    await this.#cgroup?.remove();
    const { exitCode, signalCode } = this.#child;
    const { peakBytes } = this.#usage;
    return { exitCode, signal: signalCode, stopped: this.#stopped, oomKills, peakBytes, lastLines: this.output.lines };
  }

  #measure(): void {
    if (this.#gone) return;
    const seen = this.#on.watch.use(this.#mark.value);
    // The kernel's peak counts cached files too, so it is only taken when the end came before the first look.
    const peakBytes = seen === null || seen.peakBytes === 0 ? (this.#cgroup?.peakBytes ?? 0) : seen.peakBytes;
    const cpuSeconds = this.#cgroup?.cpuSeconds ?? Math.max(seen?.cpuSeconds ?? 0, secondsOf(this.#times));
    this.#usage = { peakBytes, cpuSeconds: Math.max(cpuSeconds, this.#usage.cpuSeconds) };
  }

  #channel(fd: number): Duplex {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a 'pipe' of spawn is a socket in both directions
    const channel = this.#child.stdio[fd] as Duplex;
    channel.on('error', () => undefined); // the other end is gone; its exit is heard
    return channel;
  }
}

function spawnShell({ command, cwd, env, limits, how }: TreeOptions, name: string, backstop: string): ChildProcess {
  const script = how === 'once' ? onceScript : keptScript;
  const pipes = how === 'once' ? (['pipe'] as const) : (['pipe', 'pipe', 'pipe'] as const);
  return spawn('/bin/sh', ['-c', script, 'slipway', backstop, command], {
    cwd,
    env: { ...env, NODE_OPTIONS: nodeOptions(env['NODE_OPTIONS'], limits), [markVariable]: name },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', ...pipes],
  });
}

/** Adds up what the shell's `times` wrote: user and system time of itself and of its children, such as `0m0.010s`. */
function secondsOf(times: string): number {
  return [...times.matchAll(/(\d+)m(\d+)[.,](\d+)s/g)].reduce(
    (sum, [, minutes, seconds, fraction]) => sum + Number(minutes) * 60 + Number(`${seconds}.${fraction}`),
    0,
  );
}
