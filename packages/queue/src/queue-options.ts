import type { Pool, PoolClient } from 'pg';
import type { QueueEvent } from './events.ts';
import type { ObjectStore } from './objects/index.ts';
import type { Lane } from './statements/lane.ts';
import type { TaskKind } from './task-kind.ts';

/** What there is to say about one task. */
export interface TaskOptions {
  /** Not before this time (milliseconds since 1970). */
  runAt?: number;
  /** Not before so many seconds from now, by PostgreSQL's clock. Ignored beside `runAt`. */
  delaySeconds?: number;
  /** Smaller is sooner; default 0. */
  priority?: number;
  /** `fallback`: known to need the big workers from the start. Default `normal`. */
  lane?: Lane;
  /**
   * Keys take turns, so that one with many tasks does not hold up the others. Of tasks with the same key, of whatever kind, as many run at
   * once as the kind's `keyConcurrency` says: by default one, the oldest of those that are due first. A task that waits
   * for its time or its retry lets younger ones pass.
   */
  key?: string;
  /** While a task of this kind with this name waits, another one is not added (the waiting one is returned, with the earlier `runAt`). */
  unique?: string;
}

export interface EnqueueOptions extends TaskOptions {
  /** Write the task in the caller's own transaction, so that it exists exactly when the caller's rows do. */
  client?: PoolClient;
}

/** What there is to say about one member of a batch: a unique name would find a task outside of it. */
export type MemberOptions = Omit<TaskOptions, 'unique'>;

export interface BatchOptions<F> {
  /** The task that becomes ready when the last member has ended, however it ended. */
  fanIn: { kind: TaskKind<F>; payload: F } & Omit<MemberOptions, 'runAt' | 'delaySeconds'>;
  /** Add all of it in the caller's own transaction. */
  client?: PoolClient;
}

export interface CronOptions<P> extends Omit<TaskOptions, 'runAt' | 'delaySeconds'> {
  /** Names the schedule: there is one of each name, and the last word about it counts. */
  name: string;
  /** Minute, hour, day, month and weekday, or second first: `0 3 * * *` is every night at three. */
  schedule: string;
  /** A name from the IANA database, such as `Europe/Vienna`. Default `UTC`. */
  timezone?: string;
  kind: TaskKind<P>;
  payload: P;
}

export interface WorkOptions {
  /** Tasks at once in this process. Default 4. */
  concurrency?: number;
  /** Which lane. A kind with a fallback needs a handler for each, in this process or another. Default `normal`. */
  lane?: Lane;
  /** Seconds after which the attempt's signal aborts, and the attempt has run out of time unless it still returns. Default: never. */
  timeoutSeconds?: number;
}

export interface QueueOptions {
  pool: Pool;
  /** PostgreSQL schema that holds the tables. Default `slipway_queue`. */
  schema?: string;
  /** Seconds without a heartbeat after which a process's tasks are taken from it. Default 15. */
  leaseSeconds?: number;
  /** For how many seconds a transaction may be open before the event `transaction-held` names it. Default 60. */
  heldTransactionSeconds?: number;
  /** Where payloads of more than 64 KiB are kept. Default: nowhere; they are in PostgreSQL like any other. */
  objects?: ObjectStore;
  /** Called for everything an operator may want to know. */
  onEvent?: (event: QueueEvent) => void;
}
