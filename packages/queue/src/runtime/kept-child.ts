import type { Duplex } from 'node:stream';
import { endOfKept, type AttemptEnd } from './attempt-end.ts';
import { endInTime } from './attempt-limits.ts';
import { readAnswers, type KeptAnswer } from './kept-answers.ts';
import type { Limits } from './limits.ts';
import type { Lane } from '../statements/lane.ts';
import type { AttemptControl, AttemptTask, CommandSettings } from './once.ts';
import { ProcessTree, type Supervision, type TreeUsage } from './process-tree.ts';
import { parseProgress } from './progress-file.ts';

/** Milliseconds that a program whose channel broke has to be found dead, so that its death is told rather than the closed channel. */
const deathIsSeenWithin = 500;
/** Milliseconds that a program has after the end of its tasks to end by itself. */
const leavesWithin = 1000;

export interface KeptReport {
  end: AttemptEnd;
  usage: TreeUsage;
  result: unknown;
}

type Outcome = { kind: 'answered'; answer: KeptAnswer } | { kind: 'broken'; message: string };

/** A program that stays alive between tasks and works on one at a time: it reads them from fd 3 and answers on fd 4. */
export class KeptChild {
  readonly lane: Lane;
  readonly tree: ProcessTree;
  readonly #tasks: Duplex;
  #current: { task: AttemptTask; control: AttemptControl; settle: (outcome: Outcome) => void } | null = null;
  #isBroken = false;
  #finished = 0;
  /** Bytes in use after its first task. */
  #usedAtFirst: number | null = null;
  #usedAfterLast = 0;

  /** @throws {Error} when the command can't be started. */
  static async start(lane: Lane, limits: Limits, settings: CommandSettings, on: Supervision): Promise<KeptChild> {
    const { command, cwd, env } = settings;
    return new KeptChild(lane, await ProcessTree.start({ command, cwd, env, limits, how: 'kept' }, on));
  }

  private constructor(lane: Lane, tree: ProcessTree) {
    this.lane = lane;
    this.tree = tree;
    this.#tasks = tree.channel(3);
    readAnswers(tree.channel(4), {
      answer: (answer) => this.#hear(answer),
      broken: (message) => this.#break(message),
    });
  }

  /** False once it can't be given another task. */
  get isUsable(): boolean {
    return !this.#isBroken && !this.tree.isGone;
  }

  /** Tasks that it answered. */
  get finished(): number {
    return this.#finished;
  }

  /** Share of the memory that was free for tasks after its first one, which it has kept since. */
  get grownBy(): number {
    if (this.#usedAtFirst === null) return 0;
    const free = this.tree.limits.memoryBytes - this.#usedAtFirst;
    return free <= 0 ? 0 : (this.#usedAfterLast - this.#usedAtFirst) / free;
  }

  /** Gives it a task. Resolves with how that ended; when it did not answer, nothing of the program runs any more. */
  async run(task: AttemptTask, control: AttemptControl): Promise<KeptReport> {
    this.tree.output.clear();
    const before = this.tree.measureAnew();
    const answered = new Promise<Outcome>((settle) => (this.#current = { task, control, settle }));
    const release = endInTime(this.tree, control.signal, control.graceOver);
    const { id, attempt, lane, payload, folder } = task;
    const { input, output } = folder;
    this.#tasks.write(`${JSON.stringify({ task: { id, attempt, lane, payload: payload ?? null, input, output } })}\n`);
    if (this.#isBroken) this.#break('It closed its channels.');
    const end = await this.#settle(answered);
    release();
    this.#current = null;
    const { peakBytes, cpuSeconds } = this.tree.usage;
    this.#usedAfterLast = this.tree.isGone ? 0 : this.tree.measureAnew().bytes;
    this.#usedAtFirst ??= this.#usedAfterLast;
    return { ...end, usage: { peakBytes, cpuSeconds: Math.max(0, cpuSeconds - before.cpuSeconds) } };
  }

  /** Tells it that it will be stopped, so that it can hurry or give up. */
  announceStop(graceSeconds: number): void {
    if (this.isUsable) this.#tasks.write(`${JSON.stringify({ stopping: graceSeconds })}\n`);
  }

  /** Lets it end by itself, else ends it. Resolves when nothing of it runs. */
  async leave(): Promise<void> {
    this.#isBroken = true;
    this.#tasks.end();
    const timer = setTimeout(() => void this.tree.stop(null), leavesWithin);
    await this.tree.ended;
    clearTimeout(timer);
  }

  async #settle(answered: Promise<Outcome>): Promise<{ end: AttemptEnd; result: unknown }> {
    const died = this.tree.ended.then((ending) => endOfKept(ending, this.tree.limits));
    const first = await Promise.race([answered, died]);
    if (first.kind === 'answered') {
      this.#finished++;
      return this.#endOf(first.answer);
    }
    if (first.kind !== 'broken') return { end: first, result: undefined };
    // Most often it is broken because the program died; how it died says more.
    const death = await Promise.race([
      died,
      new Promise<null>((late) => setTimeout(() => late(null), deathIsSeenWithin)),
    ]);
    await this.tree.stop(null);
    return { end: death ?? { kind: 'crash', message: first.message, signal: null }, result: undefined };
  }

  #endOf(answer: KeptAnswer): { end: AttemptEnd; result: unknown } {
    if ('done' in answer) return { end: { kind: 'done' }, result: answer.result };
    if ('progress' in answer) throw new Error('progress is no end of an attempt');
    const message = answer.error;
    if (answer.discard === true) return { end: { kind: 'discarded', message }, result: undefined };
    if (answer.again !== undefined)
      return { end: { kind: 'again', seconds: answer.again, message }, result: undefined };
    return { end: { kind: 'error', message, exitCode: null }, result: undefined };
  }

  #hear(answer: KeptAnswer): void {
    const current = this.#current;
    if ('progress' in answer) {
      const progress = parseProgress(answer.value);
      // A late word about an earlier task is no harm.
      if (progress !== null && current?.task.id === answer.progress) current.control.onProgress(progress);
      return;
    }
    const id = 'done' in answer ? answer.done : answer.failed;
    if (current?.task.id === id) current.settle({ kind: 'answered', answer });
    else this.#break(`It answered for task ${id}, which it wasn't working on.`);
  }

  #break(message: string): void {
    this.#isBroken = true;
    this.#current?.settle({ kind: 'broken', message });
  }
}
