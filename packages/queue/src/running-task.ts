import { type AbortCause, type Attempt, AttemptAborted, type Handler, TimedOut, type Usage } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import type { Settled } from './settler.ts';
import type { Source } from './source.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Lane } from './statements/lane.ts';
import type { TaskKind } from './task-kind.ts';
import { AttemptSpan } from './telemetry/spans.ts';

/** A handler and what it has to do with. */
export interface Registration {
  kind: TaskKind<unknown>;
  lane: Lane;
  handler: Handler<unknown>;
  /** Tasks at once. */
  concurrency: number;
  /** Seconds after which the attempt's signal aborts; null: never. */
  timeoutSeconds: number | null;
  /** Turns what was stored into the payload: fetches it where it is only a reference. */
  open: (stored: unknown) => Promise<unknown>;
}

export interface Settlement extends Settled {
  task: Claimed;
  outcome: Outcome;
  usage: Usage | null;
  /** From its begin to its handler's end. */
  busySeconds: number;
}

/**
 * One attempt in this process, from its begin to settlement. It is settled once: by its handler's end, or before that by
 * `interrupt`; what the handler says afterwards is ignored.
 */
export class RunningTask {
  /** Resolves with the seconds it took, when its handler has ended or it was interrupted; never rejects. */
  readonly ended: Promise<number>;
  /** Never rejects. Until then the task is leased to this process. */
  readonly settled: Promise<Settlement>;
  readonly #task: Claimed;
  readonly #registration: Registration;
  readonly #source: Source;
  readonly #controller = new AbortController();
  readonly #end = Promise.withResolvers<number>();
  readonly #first = Promise.withResolvers<Settlement>();
  readonly #began = performance.now();
  readonly #span: AttemptSpan;
  #usage: Usage | null = null;
  #output: unknown = undefined;
  #settling: 'yes' | 'no' = 'no';

  constructor(task: Claimed, registration: Registration, source: Source) {
    this.#task = task;
    this.#registration = registration;
    this.#source = source;
    this.#span = new AttemptSpan(task);
    this.ended = this.#end.promise;
    this.settled = this.#first.promise;
    void this.#attempt().then((outcome) => this.#settle(outcome));
  }

  abort(cause: AbortCause): void {
    this.#controller.abort(new AttemptAborted(cause));
  }

  /** Gives the task back at once; the handler may still run. */
  async interrupt(): Promise<void> {
    await this.#settle({ kind: 'interrupted' });
  }

  /** Runs the attempt to its end and says what becomes of the task. Never rejects. */
  async #attempt(): Promise<Outcome> {
    const { kind, handler, timeoutSeconds, open } = this.#registration;
    const { signal } = this.#controller;
    const timer = timeoutSeconds === null ? undefined : setTimeout(() => this.abort('timeout'), timeoutSeconds * 1_000);
    try {
      const payload = await kind.payload.safeParseAsync(await open(this.#task.payload));
      if (!payload.success) return { kind: 'dead', cause: 'invalid-payload', error: describeError(payload.error) };
      const result = await this.#span.around(() => handler(payload.data, this.#attemptFor()));
      return { kind: 'done', result, output: this.#output };
    } catch (error) {
      this.#span.threw(error);
      const timedOut = signal.aborted && signal.reason instanceof AttemptAborted && signal.reason.reason === 'timeout';
      const cause = timedOut ? new TimedOut(`it ran longer than ${timeoutSeconds} s`, { cause: error }) : error;
      return outcomeOf(cause, kind, this.#task, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #attemptFor(): Attempt {
    const task = this.#task;
    return {
      taskId: task.id,
      number: task.attempts,
      lease: task.lease,
      lane: task.lane,
      key: task.key,
      batchId: task.batchId,
      signal: this.#controller.signal,
      progress: (value) => this.#source.progress(task, value),
      used: (usage) => (this.#usage = usage),
      output: (manifest) => (this.#output = manifest),
    };
  }

  async #settle(outcome: Outcome): Promise<void> {
    if (this.#settling === 'no') {
      this.#settling = 'yes';
      const busySeconds = (performance.now() - this.#began) / 1_000;
      this.#end.resolve(busySeconds);
      const settled = await this.#source.settle(this.#task, outcome);
      this.#span.end(outcome, settled.verdict);
      this.#first.resolve({ ...settled, task: this.#task, outcome, usage: this.#usage, busySeconds });
    }
    await this.settled;
  }
}
