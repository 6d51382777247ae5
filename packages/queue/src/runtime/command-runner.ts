import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { TreeWatch, type Pace } from '../processes/index.ts';
import type { AttemptEnd } from './attempt-end.ts';
import { fillAttemptFolder, removeAbandonedFolders, readResult, type AttemptFolder } from './attempt-folder.ts';
import { AttemptFolders } from './attempt-folders.ts';
import { findAttemptCgroups, removeEmptyCgroups, type AttemptCgroups } from './cgroup.ts';
import { Guardian } from './guardian.ts';
import { KeptPool } from './kept-pool.ts';
import type { Limits } from './limits.ts';
import type { Lane } from '../statements/lane.ts';
import { runOnce, type AttemptControl, type AttemptTask } from './once.ts';
import { markVariable, type Supervision, type TreeUsage } from './process-tree.ts';
import type { Progress } from './progress-file.ts';

/** Attempts grow quickly and live shortly: ten looks a second, fifty while one grows or is near its limit. */
const pace: Pace = { shortest: 20, longest: 100, relistAfter: 100, relistNearAfter: 100, together: 10 };
/** Seconds from SIGTERM to SIGKILL; they are part of the grace. */
const termSeconds = 1;

export interface CommandRunnerOptions {
  /** For `sh -c`, e.g. `python render.py`. */
  command: string;
  cwd: string;
  /** The command's whole environment; what an attempt adds is in docs/workers.md. */
  env: Record<string, string>;
  /**
   * | process | the command |
   * | --- | --- |
   * | per-task | is started for each attempt; its exit code is the answer |
   * | kept     | stays alive between tasks, one per slot; reads tasks from fd 3 and answers on fd 4 |
   */
  process: 'per-task' | 'kept';
  limits: Record<Lane, Limits>;
  /** Programs that are kept warm, per lane. Says nothing about how many attempts may run at once: that is up to the caller. */
  slots: Record<Lane, number>;
  /** Attempt folders are made here. */
  folder: string;
  /** Seconds until the next try after exit code 75. Default 60. */
  againSeconds?: number;
  /** Kept programs: tasks after which one is replaced. Default 1000. */
  recycleAfter?: number;
  /** Kept programs: share of its free memory that one may keep between tasks; beyond, it is replaced. Default 0.5. */
  recycleGrowth?: number;
  /** Where limits are kept by the kernel. Default: wherever it is possible (see `findAttemptCgroups`); null: nowhere. */
  cgroups?: AttemptCgroups | null;
  /** One line of a command's output, cut to 500 characters. Of a kept program the task is not known: null. */
  onLine?: (line: string, taskId: string | null) => void;
}

export interface Usage extends TreeUsage {
  wallSeconds: number;
}

export interface AttemptReport {
  end: AttemptEnd;
  usage: Usage;
  /** What it answered or left in `output/result.json`; undefined: nothing, or it did not end well. */
  result: unknown;
}

/**
 * Runs attempts of tasks as commands, each as a process tree with limits, and says how they ended and what they used.
 *
 * Memory, in bytes, is what all processes of the tree have in use at the same time; a peak that lasts for less than the time between two
 * looks (20 to 100 ms) may be missed. CPU seconds are exact to 10 ms for everything that its parent waited for; else up to the last look.
 * Linux only.
 */
export class CommandRunner {
  readonly #options: CommandRunnerOptions;
  readonly #folders: AttemptFolders;
  readonly #name = randomUUID();
  readonly #graceOver = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #trees = 0;
  #on: Supervision | null = null;
  #kept: KeptPool | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: CommandRunnerOptions) {
    this.#options = options;
    this.#folders = new AttemptFolders(options.folder);
  }

  start(): void {
    if (this.#on !== null || this.#stopping !== null) return;
    const options = this.#options;
    const cgroups = options.cgroups === undefined ? findAttemptCgroups() : options.cgroups;
    if (cgroups !== null) removeEmptyCgroups(cgroups);
    void removeAbandonedFolders(options.folder);
    const guardian = new Guardian(`${markVariable}=${this.#name}.`, cgroups?.folder ?? null);
    guardian.start();
    this.#on = {
      nameTree: () => `${this.#name}.${this.#trees++}`,
      watch: new TreeWatch(pace, markVariable),
      guardian,
      cgroups,
      onLine: (line) => options.onLine?.(line, null),
    };
    if (options.process === 'per-task') return;
    const { recycleAfter = 1000, recycleGrowth = 0.5, againSeconds = 60 } = options;
    this.#kept = new KeptPool({ ...options, againSeconds, recycleAfter, recycleGrowth }, this.#on);
    this.#kept.setSlots(options.slots);
  }

  /** An empty folder for an attempt; put its input files into `input`. The caller gives it back with `dispose`, however the attempt ended. */
  async prepare(): Promise<AttemptFolder> {
    return await this.#folders.take();
  }

  /** Takes back an attempt's folder and removes everything in it; links are removed, and not followed. Never rejects, and need not be waited for. */
  async dispose(folder: AttemptFolder): Promise<void> {
    await this.#folders.giveBack(folder);
  }

  /** Resolves when nothing is left of the folders that were given back; after `stop`. */
  async tidied(): Promise<void> {
    await this.#folders.close();
  }

  /** How many programs are kept warm from now on; what works on a task ends after it. */
  setSlots(slots: Record<Lane, number>): void {
    if (this.#stopping === null) this.#kept?.setSlots(slots);
  }

  /**
   * Runs one attempt to its end; when it resolves, nothing of it runs any more (of a kept program: nothing of this attempt). Its output is
   * in `task.folder.output`: whatever the program left there, also links, which are for the reader to refuse.
   *
   * @param control.signal Ends it, by its reason: see `causeOf`.
   * @throws {Error} when the command can't be started at all, or the runner isn't started: nothing ran, the task is as it was.
   */
  async run(
    task: AttemptTask,
    control: { signal: AbortSignal; onProgress?: (progress: Progress) => void },
  ): Promise<AttemptReport> {
    const on = this.#on;
    if (on === null || this.#stopping !== null) throw new Error("The runner of commands isn't running.");
    const { signal, onProgress = () => undefined } = control;
    const attempt = this.#attempt(task, { signal, onProgress, graceOver: this.#graceOver.signal }, on);
    this.#running.add(attempt);
    try {
      return await attempt;
    } finally {
      this.#running.delete(attempt);
    }
  }

  /**
   * Takes no more attempts. Those that run may finish within the grace; kept programs are told. What is not done then is ended and reported as
   * interrupted: SIGTERM a second before the grace is over, and SIGKILL when it is. Resolves when nothing runs any more.
   */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping ??= this.#stop(graceSeconds);
    await this.#stopping;
  }

  async #stop(graceSeconds: number): Promise<void> {
    const on = this.#on;
    if (on === null) return;
    this.#kept?.announceStop(graceSeconds);
    const finished = Promise.allSettled(this.#running);
    const grace = new AbortController();
    const ms = Math.max(0, graceSeconds - termSeconds) * 1000;
    await Promise.race([finished, delay(ms, undefined, { signal: grace.signal }).catch(() => undefined)]);
    grace.abort();
    this.#graceOver.abort();
    await finished;
    await this.#kept?.stop();
    on.watch.stop();
    await on.guardian.stop();
    on.cgroups?.remove();
    await this.tidied();
  }

  async #attempt(task: AttemptTask, control: AttemptControl, on: Supervision): Promise<AttemptReport> {
    const began = performance.now();
    const { end, usage, result } = await this.#work(task, control, on);
    const report = { end, usage: { ...usage, wallSeconds: (performance.now() - began) / 1000 }, result };
    if (end.kind !== 'done' || result !== undefined) return report;
    try {
      return { ...report, result: await readResult(task.folder) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { ...report, end: { kind: 'error', message, exitCode: null } };
    }
  }

  async #work(
    task: AttemptTask,
    control: AttemptControl,
    on: Supervision,
  ): Promise<{ end: AttemptEnd; usage: TreeUsage; result?: unknown }> {
    const kept = this.#kept;
    if (kept === null) {
      await fillAttemptFolder(task.folder, task.payload);
      const { againSeconds = 60 } = this.#options;
      const ofTask = { ...on, onLine: (line: string) => this.#options.onLine?.(line, task.id) };
      return await runOnce(task, this.#options.limits[task.lane], { ...this.#options, againSeconds }, control, ofTask);
    }
    const child = await kept.take(task.lane);
    try {
      return await child.run(task, control);
    } finally {
      kept.giveBack(child);
    }
  }
}
