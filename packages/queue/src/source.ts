import type { Rate } from './rate.ts';
import type { Usage } from './attempt.ts';
import type { Settled } from './finisher.ts';
import type { Outcome } from './outcome.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Lane } from './statements/lane.ts';

/** What a worker process has free, for one kind and lane. */
export interface Wanted {
  kind: string;
  lane: Lane;
  limit: number;
  /** `bundle`: tasks are so short that many are to be leased together. Default `singly`. */
  manner?: 'singly' | 'bundle';
  /** Of the limit so many could begin at once; the rest is claimed in advance. Default: all. */
  now?: number;
  /** Whether one task on its last chance may be among them: see `isOnLastChance`. Default `one`. */
  lastChance?: 'one' | 'none';
  /** How many tasks of one key may run at once; null: any number. */
  keyConcurrency: number | null;
  rate: Rate | null;
  keyRate: Rate | null;
}

/** What a source calls. */
export interface SourceListener {
  /** There may be something to claim. */
  onWork: () => void;
  onCancelled: (taskId: string) => void;
  /** All leases are lost: others have, or will have, the tasks. */
  onLost: () => void;
  /** Ids of the tasks that are leased to this process, begun or not: asked at each heartbeat. */
  running: () => readonly string[];
}

/** An attempt whose handler has ended, or that was interrupted. */
export interface EndedAttempt {
  readonly task: Claimed;
  readonly outcome: Outcome;
  readonly usage: Usage | null;
  /** From its begin to its handler's end. */
  readonly busySeconds: number;
  /** Called once: what became of the task is written, or can't be. */
  written(settled: Settled): void;
}

/** Where a worker gets its tasks from: PostgreSQL itself, or a control plane before it. */
export interface Source {
  /** `closed`: there is no connection; what is claimed now would fail. */
  readonly state: 'open' | 'closed';
  /** @throws when the first connect fails; later ones are tried again for as long as it takes. */
  start(listener: SourceListener): Promise<void>;
  /** Leases tasks; less than there may be at once, never more than wanted. Calls `onWork` when more may be had. @throws on faults. */
  claim(wanted: readonly Wanted[]): Promise<Claimed[]>;
  /** No claim is left open from now on, and what such a one may have got is given back; what runs goes on. Never rejects. */
  stopWaiting(): Promise<void>;
  /** Gives back tasks that were claimed and not begun. Never rejects: what can't be written is taken back with the lease. */
  unclaim(tasks: readonly Claimed[]): Promise<void>;
  /**
   * Writes what became of a task, tries again while there is no connection, and calls `written` of the end, once. A callback, not a promise:
   * there may be a hundred thousand a second.
   */
  settle(end: EndedAttempt): void;
  /** Tells how far a running task is; the last word within a second is written. */
  progress(task: Claimed, value: unknown): void;
  /** Nothing is tried again from now on. */
  giveUp(): void;
  stop(): Promise<void>;
}
