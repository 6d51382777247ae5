import type { Settlement } from './running-task.ts';
import type { DeathCause } from './statements/bury.ts';

/** What an operator or a metric may want to know. Nothing depends on somebody listening. */
export type QueueEvent =
  /** An attempt failed; the task is tried again. */
  | { event: 'retry'; taskId: string; kind: string; attempt: number; inSeconds: number; error: string }
  /** A task went to the dead letters. */
  | { event: 'dead'; taskId: string; kind: string; attempt: number; cause: DeathCause; error: string }
  /** The result of an attempt came after the lease was lost and was rejected: another attempt runs, or ran, beside it. */
  | { event: 'late'; taskId: string; kind: string; attempt: number }
  /** A task of a process that is gone was taken back. */
  | { event: 'rescued'; taskId: string; kind: string; fate: 'returned' | 'dead' | 'cancelled' }
  /** This process did not report in time; its tasks went to others. */
  | { event: 'lease-lost'; tasks: number }
  /** The connection broke; nothing is lost, finished tasks are acknowledged when it is back. */
  | { event: 'disconnected'; error: string; retryInMs: number }
  | { event: 'connected' }
  /** A statement failed in a way that waiting does not heal: a bug, or somebody changed the tables. */
  | { event: 'failed'; what: string; error: string };

/** What there is to tell about an attempt that has ended; null for what went as it should. */
export function eventOf({ task, outcome, verdict, error = '' }: Settlement): QueueEvent | null {
  const attempt = { taskId: task.id, kind: task.kind, attempt: task.attempts };
  if (verdict === 'late') return { event: 'late', ...attempt };
  if (verdict === 'unknown') return { event: 'failed', what: `settling task ${task.id}`, error };
  if (outcome.kind === 'dead') return { event: 'dead', ...attempt, cause: outcome.cause, error: outcome.error };
  if (outcome.kind !== 'retry') return null;
  return { event: 'retry', ...attempt, inSeconds: outcome.seconds, error: outcome.error };
}
