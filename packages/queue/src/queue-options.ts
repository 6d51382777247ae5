import type { Pool, PoolClient } from 'pg';
import type { QueueEvent } from './events.ts';

export interface EnqueueOptions {
  /** Write the task in the caller's own transaction, so that it exists exactly when the caller's rows do. */
  client?: PoolClient;
  /** Not before this time (milliseconds since 1970). */
  runAt?: number;
  /** Not before so many seconds from now, by PostgreSQL's clock. Ignored beside `runAt`. */
  delaySeconds?: number;
  /** Smaller is sooner; default 0. */
  priority?: number;
  /**
   * Tasks with the same key, of whatever kind, run one at a time, the oldest of those that are due first. A task that waits
   * for its time or its retry lets younger ones pass.
   */
  key?: string;
  /** While a task of this kind with this name waits, another one is not added (the waiting one is returned, with the earlier `runAt`). */
  unique?: string;
}

export interface QueueOptions {
  pool: Pool;
  /** PostgreSQL schema that holds the tables. Default `slipway_queue`. */
  schema?: string;
  /** Seconds without a heartbeat after which a process's tasks are taken from it. Default 15. */
  leaseSeconds?: number;
  /** Called for everything an operator may want to know. */
  onEvent?: (event: QueueEvent) => void;
}
