import { z } from 'zod';
import { type AbortCause, type Attempt, AttemptAborted, type Handler, TimedOut, type Usage } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import { doneWith, type Outcome, outcomeOf } from './outcome.ts';
import type { Settled } from './finisher.ts';
import type { EndedAttempt, Source } from './source.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Lane } from './statements/lane.ts';
import type { TaskKind } from './task-kind.ts';
import { type AttemptSpan, beginSpan } from './telemetry/spans.ts';

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

/** An attempt of which is written what became of its task. */
export interface Settlement extends Omit<EndedAttempt, 'written'> {
  readonly verdict: Settled['verdict'];
  readonly error?: string | undefined;
}

/** Who wants to know of an attempt's end. Callbacks, not promises: there may be a hundred thousand a second. */
export interface AttemptListener<R extends Registration> {
  /** Its handler has ended, or it was interrupted. */
  onEnded: (task: RunningTask<R>) => void;
  /** What became of it is written; until then the task is leased to this process. */
  onSettled: (task: RunningTask<R>) => void;
}

const INTERRUPTED: Outcome = { kind: 'interrupted' };

/**
 * One attempt in this process, from its begin to settlement. It is settled once: by its handler's end, or before that by
 * `interrupt`; what the handler says afterwards is ignored.
 *
 * | phase | meaning | leaves it by |
 * | --- | --- | --- |
 * | running | its handler works            | the handler's end, `interrupt` -> ended |
 * | ended   | its end is being written     | `written` -> settled |
 * | settled | what became of it is written | |
 */
export class RunningTask<R extends Registration = Registration> implements EndedAttempt, Settlement {
  readonly task: Claimed;
  readonly registration: R;
  outcome: Outcome = INTERRUPTED;
  usage: Usage | null = null;
  busySeconds = 0;
  verdict: Settled['verdict'] = 'unknown';
  error: string | undefined = undefined;
  /** The list of files that it leaves. */
  output: unknown = undefined;
  readonly source: Source;
  readonly #listener: AttemptListener<R>;
  readonly #began = performance.now();
  readonly #span: AttemptSpan | null;
  #phase: 'running' | 'ended' | 'settled' = 'running';
  #controller: AbortController | null = null;
  #onSettled: (() => void) | null = null;

  constructor(task: Claimed, registration: R, source: Source, listener: AttemptListener<R>) {
    this.task = task;
    this.registration = registration;
    this.source = source;
    this.#listener = listener;
    this.#span = beginSpan(task);
  }

  /** Runs the attempt to its end and hands on what becomes of the task. Never rejects. */
  async run(): Promise<void> {
    const { kind, timeoutSeconds, open } = this.registration;
    const timer = timeoutSeconds === null ? undefined : setTimeout(() => this.abort('timeout'), timeoutSeconds * 1_000);
    let outcome: Outcome;
    try {
      const stored = open(this.task.payload);
      const checking = checked(kind, stored instanceof Promise ? await stored : stored);
      const payload = checking instanceof Promise ? await checking : checking;
      if (payload.success) outcome = doneWith(this.task, await this.#handle(payload.data), this.output);
      else outcome = await refused(payload.error);
    } catch (error) {
      outcome = await this.#failed(error);
    }
    if (timer !== undefined) clearTimeout(timer);
    this.#end(outcome);
  }

  abort(cause: AbortCause): void {
    this.#abortion().abort(new AttemptAborted(cause));
  }

  get signal(): AbortSignal {
    return this.#abortion().signal;
  }

  /** Gives the task back at once; the handler may still run. Resolves when that is written. */
  interrupt(): Promise<void> {
    if (this.#phase === 'settled') return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onSettled = resolve;
    this.#end(INTERRUPTED);
    return promise;
  }

  written({ verdict, error }: Settled): void {
    this.#phase = 'settled';
    this.verdict = verdict;
    this.error = error;
    this.#span?.end(this.outcome, verdict);
    this.#listener.onSettled(this);
    this.#onSettled?.();
  }

  #handle(payload: unknown): Promise<unknown> {
    const attempt = new LiveAttempt(this);
    const { handler } = this.registration;
    return this.#span === null ? handler(payload, attempt) : this.#span.around(() => handler(payload, attempt));
  }

  /** Asynchronous, as `refused` is: the worker would begin the next task from within the begin of this one, and so on for thousands. */
  async #failed(error: unknown): Promise<Outcome> {
    this.#span?.threw(error);
    const { kind, timeoutSeconds } = this.registration;
    const { signal } = this;
    const timedOut = signal.aborted && signal.reason instanceof AttemptAborted && signal.reason.reason === 'timeout';
    const cause = timedOut ? new TimedOut(`it ran longer than ${timeoutSeconds} s`, { cause: error }) : error;
    return outcomeOf(cause, kind, this.task, signal);
  }

  /** Made for those who ask: most handlers of short tasks don't. */
  #abortion(): AbortController {
    this.#controller ??= new AbortController();
    return this.#controller;
  }

  #end(outcome: Outcome): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'ended';
    this.outcome = outcome;
    this.busySeconds = (performance.now() - this.#began) / 1_000;
    this.#listener.onEnded(this);
    this.source.settle(this);
  }
}

type Running = Pick<RunningTask, 'task' | 'source' | 'signal' | 'usage' | 'output'>;

/** What a handler gets. Whatever not every handler asks for is made when it does; so each member works on its own, without its object. */
class LiveAttempt implements Attempt {
  readonly taskId: string;
  readonly number: number;
  readonly lease: string;
  readonly lane: Lane;
  readonly key: string | null;
  readonly batchId: string | null;
  readonly #running: Running;

  constructor(running: Running) {
    const { id, attempts, lease, lane, key, batchId } = running.task;
    this.taskId = id;
    this.number = attempts;
    this.lease = lease;
    this.lane = lane;
    this.key = key;
    this.batchId = batchId;
    this.#running = running;
  }

  get signal(): AbortSignal {
    return this.#running.signal;
  }

  get progress(): Attempt['progress'] {
    const { source, task } = this.#running;
    return (value) => source.progress(task, value);
  }

  get used(): Attempt['used'] {
    return (usage) => (this.#running.usage = usage);
  }

  get output(): Attempt['output'] {
    return (manifest) => (this.#running.output = manifest);
  }
}

async function refused(error: unknown): Promise<Outcome> {
  return { kind: 'dead', cause: 'invalid-payload', error: describeError(error) };
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
