import { Discard, Snooze } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import type { DeathCause } from './statements/bury.ts';
import type { Claimed } from './statements/claim.ts';
import type { TaskKind } from './task-kind.ts';

/**
 * What becomes of a task after an attempt.
 *
 * | outcome | when | the task |
 * | --- | --- | --- |
 * | done        | the handler returned | is deleted |
 * | retry       | it threw, and has retries left | is due again after the back-off; counts as failure |
 * | snoozed     | it threw `Snooze` | is due again after that time; counts as nothing |
 * | interrupted | it threw after the queue began to stop | is due at once; counts as interruption |
 * | dead        | see `DeathCause` | is moved to the dead letters |
 */
export type Outcome =
  | { kind: 'done' }
  | { kind: 'retry'; seconds: number; error: string }
  | { kind: 'snoozed'; seconds: number }
  | { kind: 'interrupted' }
  | { kind: 'dead'; cause: DeathCause; error: string };

/** Runs one attempt to its end and says what becomes of the task. Never rejects. */
export async function attemptTask<P>(
  kind: TaskKind<P>,
  task: Claimed,
  handle: (payload: P) => Promise<void>,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    const payload = await kind.payload.safeParseAsync(task.payload);
    if (!payload.success) return { kind: 'dead', cause: 'invalid-payload', error: describeError(payload.error) };
    await handle(payload.data);
    return { kind: 'done' };
  } catch (error) {
    if (error instanceof Discard) return { kind: 'dead', cause: 'discarded', error: describeError(error) };
    if (error instanceof Snooze) return { kind: 'snoozed', seconds: Math.max(0, error.seconds) };
    if (signal.aborted) return { kind: 'interrupted' };
    const retry = task.failures + 1;
    if (retry > kind.retries) return { kind: 'dead', cause: 'retries-used', error: describeError(error) };
    return { kind: 'retry', seconds: Math.max(0, kind.backoff(retry)), error: describeError(error) };
  }
}
