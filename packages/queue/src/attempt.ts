import type { Lane } from './statements/lane.ts';

/** Take single members of it (`({ signal }) => …`), or hand it on whole: a copy, as of `{ ...attempt }`, has neither the signal nor the functions. */
export interface Attempt {
  taskId: string;
  /** 1 for the first try; lost and interrupted attempts count here, but not against `retries`. */
  number: number;
  /** Fencing token: grows with every attempt of this task. */
  lease: string;
  lane: Lane;
  key: string | null;
  /** The batch this task closes or belongs to; null: none. */
  batchId: string | null;
  /** Aborts when the lease is lost, the task is cancelled, its time is over, or the queue stops. Its reason is an {@link AttemptAborted}. */
  signal: AbortSignal;
  /** Tells how far it is: any JSON value, such as a share from 0 to 1. Written at most once a second. */
  progress: (value: unknown) => void;
  /** Tells what the attempt used, for the proposal of sizes. */
  used: (usage: Usage) => void;
  /** Hands over the list of files it leaves: visible with the task's end, if the lease is still ours then. */
  output: (manifest: unknown) => void;
}

/** What an attempt used, of its whole process tree. */
export interface Usage {
  peakBytes: number;
  cpuSeconds: number;
  wallSeconds: number;
  limits: { memoryBytes: number; cpu: number; timeoutSeconds: number } | null;
}

/**
 * Does the work of one attempt. What it returns is the task's result (a JSON value, kept as long as its kind says); what it throws
 * decides what becomes of the task: see `Outcome`.
 */
export type Handler<P> = (payload: P, attempt: Attempt) => Promise<unknown>;

/**
 * | cause | what happens to the task when the handler ends |
 * | --- | --- |
 * | cancelled  | it is gone, however the handler ends |
 * | lease-lost | another process has it; what this handler returns or throws is ignored |
 * | timeout    | done, if the handler returns; else it ran out of time |
 * | stopping   | done, if the handler returns; else it goes back at once, and no retry is used up |
 */
export type AbortCause = 'cancelled' | 'lease-lost' | 'timeout' | 'stopping';

const reasons: Record<AbortCause, string> = {
  cancelled: 'the task was cancelled',
  'lease-lost': 'this process did not report in time, so the task was given to another one',
  timeout: 'the time of the attempt is over',
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

/** Throw this when the attempt ran out of memory. */
export class OutOfMemory extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OutOfMemory';
  }
}

/** Throw this when the attempt ran out of time. */
export class TimedOut extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TimedOut';
  }
}

/** Throw this when the process that did the attempt died, and nobody told it to. */
export class Crashed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Crashed';
  }
}

/** Throw this when the attempt was ended from outside, without any fault of the task: it goes back at once and uses up nothing. */
export class Interrupted extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Interrupted';
  }
}
