import type { Pool, PoolClient } from 'pg';
import type { z } from 'zod';

/**
 * A kind of task: its name and what its payload looks like. Payloads are checked when they are enqueued and again before
 * they are handled.
 */
export interface TaskKind<P> {
  name: string;
  payload: z.ZodType<P>;
  /** How often a task whose handler threw is tried again before it goes to the dead letters. Default 5. */
  retries: number;
  /** Seconds before retry n (1-based). Default: 1, 2, 4, 8 ... at most 300, with jitter. */
  backoff: (retry: number) => number;
}

export interface EnqueueOptions {
  /** Write the task in the caller's own transaction, so that it exists exactly when the caller's rows do. */
  client?: PoolClient;
  /** Not before this time (milliseconds since 1970). */
  runAt?: number;
  /** Smaller is sooner; default 0. */
  priority?: number;
  /** Tasks with the same key run one at a time, oldest first. */
  key?: string;
  /** While a task with this name waits, another one is not added (the waiting one is returned, with the earlier `runAt`). */
  unique?: string;
}

export interface Attempt {
  taskId: string;
  /** 1 for the first try; lost and interrupted attempts count here, but not against `retries`. */
  number: number;
  /** Fencing token: grows with every attempt of this task. */
  lease: string;
  /** Aborts when the lease is lost, the task is cancelled, or the queue stops. The reason says which. */
  signal: AbortSignal;
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

export interface QueueOptions {
  pool: Pool;
  /** PostgreSQL schema that holds the tables. Default `slipway_queue`. */
  schema?: string;
  /** Seconds without a heartbeat after which a process's tasks are taken from it. Default 15. */
  leaseSeconds?: number;
}
