import type { Settlement } from './running-task.ts';
import type { DeathCause } from './statements/bury.ts';
import type { Lane } from './statements/lane.ts';

/** Which attempt an event is about. */
export interface AttemptName {
  taskId: string;
  kind: string;
  lane: Lane;
  attempt: number;
}

/** An attempt that has ended. */
export interface AttemptEnd extends AttemptName {
  /** How long it ran. */
  seconds: number;
  /** How long its task was ready before. */
  waitedSeconds: number;
}

/** What an operator or a metric may want to know. Nothing depends on somebody listening. */
export type QueueEvent =
  /** An attempt finished its task. */
  | ({ event: 'done' } & AttemptEnd)
  /** An attempt failed; the task is tried again. */
  | ({ event: 'retry'; cause: 'error' | 'oom' | 'timeout' | 'crash'; inSeconds: number; error: string } & AttemptEnd)
  /** An attempt ran out of memory or time; the task goes to the lane `fallback`. */
  | ({ event: 'escalated'; cause: 'oom' | 'timeout'; error: string } & AttemptEnd)
  /** An attempt was ended from outside; the task goes back at once and has used up nothing. */
  | ({ event: 'interrupted' } & AttemptEnd)
  /** The handler asked to try again later; the task has used up nothing. */
  | ({ event: 'snoozed'; inSeconds: number } & AttemptEnd)
  /** A task went to the dead letters. */
  | ({ event: 'dead'; cause: DeathCause; error: string } & AttemptEnd)
  /** The result of an attempt came after the lease was lost and was rejected: another attempt runs, or ran, beside it. */
  | ({ event: 'late' } & AttemptEnd)
  /** A task of a process that is gone was taken back. */
  | { event: 'rescued'; taskId: string; kind: string; lane: Lane; fate: 'returned' | 'dead' | 'cancelled' }
  /** This process did not report in time; its tasks went to others. */
  | { event: 'lease-lost'; tasks: number }
  /** The connection broke; nothing is lost, finished tasks are acknowledged when it is back. */
  | { event: 'disconnected'; error: string; retryInMs: number }
  | { event: 'connected' }
  /**
   * A session has had a transaction open for so long that PostgreSQL can't clean up behind it; everything gets slower until
   * it ends. `session` says which one, `query` is what it did last.
   */
  | { event: 'transaction-held'; session: number; user: string; application: string; seconds: number; query: string }
  /** A statement failed in a way that waiting does not heal: a bug, or somebody changed the tables. */
  | { event: 'failed'; what: string; error: string };

/** What there is to tell about an attempt that has ended. */
export function eventOf({ task, outcome, verdict, error = '', busySeconds }: Settlement): QueueEvent {
  const attempt = {
    taskId: task.id,
    kind: task.kind,
    lane: task.lane,
    attempt: task.attempts,
    seconds: busySeconds,
    waitedSeconds: task.waitedSeconds,
  };
  if (verdict === 'late') return { event: 'late', ...attempt };
  if (verdict === 'unknown') return { event: 'failed', what: `settling task ${task.id}`, error };
  switch (outcome.kind) {
    case 'done':
      return { event: 'done', ...attempt };
    case 'again':
      return { event: 'retry', ...attempt, cause: outcome.cause, inSeconds: outcome.seconds, error: outcome.error };
    case 'escalated':
      return { event: 'escalated', ...attempt, cause: outcome.cause, error: outcome.error };
    case 'interrupted':
      return { event: 'interrupted', ...attempt };
    case 'snoozed':
      return { event: 'snoozed', ...attempt, inSeconds: outcome.seconds };
    case 'dead':
      return { event: 'dead', ...attempt, cause: outcome.cause, error: outcome.error };
  }
}
