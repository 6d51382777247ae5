export interface Attempt {
  taskId: string;
  /** 1 for the first try; lost and interrupted attempts count here, but not against `retries`. */
  number: number;
  /** Fencing token: grows with every attempt of this task. */
  lease: string;
  /** Aborts when the lease is lost, the task is cancelled, or the queue stops. Its reason is an {@link AttemptAborted}. */
  signal: AbortSignal;
}

/** Does the work of one attempt. What it returns or throws decides what becomes of the task: see `Outcome`. */
export type Handler<P> = (payload: P, attempt: Attempt) => Promise<void>;

/**
 * | cause | what happens to the task when the handler ends |
 * | --- | --- |
 * | cancelled  | it is gone, however the handler ends |
 * | lease-lost | another process has it; what this handler returns or throws is ignored |
 * | stopping   | done, if the handler returns; else it goes back at once, and no retry is used up |
 */
export type AbortCause = 'cancelled' | 'lease-lost' | 'stopping';

const reasons: Record<AbortCause, string> = {
  cancelled: 'the task was cancelled',
  'lease-lost': 'this process did not report in time, so the task was given to another one',
  stopping: 'the queue is stopping',
};

/** Why `attempt.signal` aborted. */
export class AttemptAborted extends Error {
  readonly reason: AbortCause;
  constructor(reason: AbortCause) {
    super(reasons[reason]);
    this.name = 'AbortError';
    this.reason = reason;
  }
}

/** Throw this from a handler to try again later without using up a retry. */
export class Snooze extends Error {
  readonly seconds: number;
  constructor(seconds: number) {
    super(`snoozed for ${seconds} s`);
    this.name = 'Snooze';
    this.seconds = seconds;
  }
}

/** Throw this from a handler when trying again is pointless: the task goes to the dead letters at once. */
export class Discard extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Discard';
  }
}
