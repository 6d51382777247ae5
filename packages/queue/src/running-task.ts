import { z } from 'zod';
import { type AbortCause, type Attempt, AttemptAborted, type Handler, TimedOut, type Usage } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import { doneWith, type Outcome, outcomeOf } from './outcome.ts';
import type { Settled } from './finisher.ts';
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
  /** Turns what was stored into the payload: fetches it (then it gives a promise) where it is only a reference. */
  open: (stored: unknown) => unknown;
}

export interface Settlement extends Settled {
  task: Claimed;
  outcome: Outcome;
  usage: Usage | null;
  /** From its begin to its handler's end. */
  busySeconds: number;
}

/** Who wants to know of an attempt's end. Callbacks, not promises: there may be a hundred thousand a second. */
export interface AttemptListener<R extends Registration> {
  /** Its handler has ended, after so many seconds, or it was interrupted. */
  onEnded: (task: RunningTask<R>, seconds: number) => void;
  /** What became of it is written; until then the task is leased to this process. */
  onSettled: (task: RunningTask<R>, settlement: Settlement) => void;
}

/**
 * One attempt in this process, from its begin to settlement. It is settled once: by its handler's end, or before that by
 * `interrupt`; what the handler says afterwards is ignored.
 */
export class RunningTask<R extends Registration = Registration> {
  readonly task: Claimed;
  readonly registration: R;
  readonly #source: Source;
  readonly #listener: AttemptListener<R>;
  readonly #began = performance.now();
  readonly #span: AttemptSpan;
  #controller: AbortController | null = null;
  #usage: Usage | null = null;
  #output: unknown = undefined;
  #settling: Promise<void> | null = null;

  constructor(task: Claimed, registration: R, source: Source, listener: AttemptListener<R>) {
    this.task = task;
    this.registration = registration;
    this.#source = source;
    this.#listener = listener;
    this.#span = new AttemptSpan(task);
  }

  /** Resolves when the attempt is settled; never rejects. */
  async run(): Promise<void> {
    await this.#settle(await this.#attempt());
  }

  abort(cause: AbortCause): void {
    this.#abortion().abort(new AttemptAborted(cause));
  }

  /** Gives the task back at once; the handler may still run. */
  interrupt(): Promise<void> {
    return this.#settle({ kind: 'interrupted' });
  }

  /** Runs the attempt to its end and says what becomes of the task. Never rejects. */
  async #attempt(): Promise<Outcome> {
    const { kind, handler, timeoutSeconds, open } = this.registration;
    const timer = timeoutSeconds === null ? undefined : setTimeout(() => this.abort('timeout'), timeoutSeconds * 1_000);
    try {
      const stored = open(this.task.payload);
      const payload = checked(kind, stored instanceof Promise ? await stored : stored);
      const outcome = payload instanceof Promise ? await payload : payload;
      if (!outcome.success) return { kind: 'dead', cause: 'invalid-payload', error: describeError(outcome.error) };
      const result = await this.#span.around(() => handler(outcome.data, this.#attemptFor()));
      return doneWith(this.task, result, this.#output);
    } catch (error) {
      this.#span.threw(error);
      const { signal } = this.#abortion();
      const timedOut = signal.aborted && signal.reason instanceof AttemptAborted && signal.reason.reason === 'timeout';
      const cause = timedOut ? new TimedOut(`it ran longer than ${timeoutSeconds} s`, { cause: error }) : error;
      return outcomeOf(cause, kind, this.task, signal);
    } finally {
      if (timer !== undefined) clearTimeout(timer);
    }
  }

  #attemptFor(): Attempt {
    const { task } = this;
    const abortion = () => this.#abortion();
    return {
      taskId: task.id,
      number: task.attempts,
      lease: task.lease,
      lane: task.lane,
      key: task.key,
      batchId: task.batchId,
      // Made for those who ask: most handlers of short tasks don't.
      get signal() {
        return abortion().signal;
      },
      progress: (value) => this.#source.progress(task, value),
      used: (usage) => (this.#usage = usage),
      output: (manifest) => (this.#output = manifest),
    };
  }

  #abortion(): AbortController {
    this.#controller ??= new AbortController();
    return this.#controller;
  }

  #settle(outcome: Outcome): Promise<void> {
    this.#settling ??= this.#settleNow(outcome);
    return this.#settling;
  }

  async #settleNow(outcome: Outcome): Promise<void> {
    const busySeconds = (performance.now() - this.#began) / 1_000;
    this.#listener.onEnded(this, busySeconds);
    const measured = { usage: this.#usage, busySeconds };
    const settled = await this.#source.settle(this.task, outcome, measured);
    this.#span.end(outcome, settled.verdict);
    this.#listener.onSettled(this, { ...settled, task: this.task, outcome, ...measured });
  }
}

type Checked = ReturnType<TaskKind<unknown>['payload']['safeParse']>;

/** Most schemas check at once; one with an asynchronous part says so by throwing. */
function checked(kind: TaskKind<unknown>, payload: unknown): Checked | Promise<Checked> {
  try {
    return kind.payload.safeParse(payload);
  } catch (error) {
    if (error instanceof z.core.$ZodAsyncError) return kind.payload.safeParseAsync(payload);
    throw error;
  }
}
