import { Crashed, Discard, Interrupted, OutOfMemory, Snooze, TimedOut } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import { ObjectDamaged, ObjectMissing, ObjectStoreDown } from './objects/index.ts';
import type { DeathCause } from './statements/bury.ts';
import type { Claimed } from './statements/claimed.ts';
import type { TaskKind } from './task-kind.ts';

/**
 * What becomes of a task after an attempt.
 *
 * | the attempt | counts as | the task |
 * | --- | --- | --- |
 * | returned | done | is deleted |
 * | threw | error | is due again after the back-off, as often as its kind allows retries; then it is dead |
 * | ran out of memory or time in `normal`, and its kind has a fallback | oom, timeout | goes to `fallback` at once, and stays there |
 * | ran out of memory or time in `fallback` | oom, timeout | is dead: the same would happen again |
 * | ran out of memory or time, and its kind has no fallback | oom, timeout | the same as a crash |
 * | its process died | crash | is due again after the back-off; dead when crashes, losses and the line above come to `losses` |
 * | threw after the queue began to stop, or `Interrupted` | interrupted | is due at once |
 * | threw `Snooze`, or its input can't be had now | nothing | is due again after that time |
 * | threw `Discard`, or its payload is invalid or gone for good | error | is dead |
 *
 * That the worker process itself died is not seen here: see the rescue.
 */
export type Outcome =
  | { kind: 'done'; result: unknown; output: unknown }
  | { kind: 'again'; cause: 'error' | 'oom' | 'timeout' | 'crash'; seconds: number; error: string }
  | { kind: 'escalated'; cause: 'oom' | 'timeout'; error: string }
  | { kind: 'snoozed'; seconds: number }
  | { kind: 'interrupted' }
  | { kind: 'dead'; cause: Exclude<DeathCause, 'lost'>; error: string };

export type FailedOutcome = Exclude<Outcome, { kind: 'done' }>;

const STORE_DOWN_SECONDS = 5;
/** What most tasks become, made once. */
const DONE: Outcome = { kind: 'done', result: undefined, output: undefined };

/** What a handler's failure means for the task. Pure. */
export function outcomeOf(
  error: unknown,
  kind: Pick<TaskKind<unknown>, 'retries' | 'backoff' | 'fallback'>,
  task: Pick<Claimed, 'lane' | 'failures' | 'crashes' | 'losses' | 'ooms' | 'timeouts' | 'lossesAllowed'>,
  signal: AbortSignal,
): Outcome {
  const message = describeError(error);
  if (error instanceof Discard) return { kind: 'dead', cause: 'discarded', error: message };
  if (error instanceof ObjectMissing || error instanceof ObjectDamaged)
    return { kind: 'dead', cause: 'input-missing', error: message };
  if (error instanceof Snooze) return { kind: 'snoozed', seconds: Math.max(0, error.seconds) };
  if (error instanceof OutOfMemory || error instanceof TimedOut) {
    const cause = error instanceof OutOfMemory ? 'oom' : 'timeout';
    if (kind.fallback === 'none') return violentEnd(cause, message, kind.backoff, task);
    if (task.lane === 'normal') return { kind: 'escalated', cause, error: message };
    return { kind: 'dead', cause: deaths[cause], error: message };
  }
  if (error instanceof Interrupted || signal.aborted) return { kind: 'interrupted' };
  if (error instanceof ObjectStoreDown) return { kind: 'snoozed', seconds: STORE_DOWN_SECONDS };
  if (error instanceof Crashed) return crashed(task, message, kind.backoff);
  const retry = task.failures + 1;
  if (retry > kind.retries) return { kind: 'dead', cause: 'retries-used', error: message };
  return { kind: 'again', cause: 'error', seconds: Math.max(0, kind.backoff(retry)), error: message };
}

type Counted = Pick<Claimed, 'crashes' | 'losses' | 'ooms' | 'timeouts' | 'lossesAllowed'>;

/** What a crash means for the task. Pure. */
export function crashed(task: Counted, error: string, backoff: TaskKind<unknown>['backoff']): FailedOutcome {
  return violentEnd('crash', error, backoff, task);
}

/** What a handler's return means for the task. @throws {Error} when something is to be kept of it that is not JSON: the handler's fault. */
export function doneWith(task: Pick<Claimed, 'keepSeconds' | 'batchId'>, result: unknown, output: unknown): Outcome {
  // Nobody looks at it: it may be anything.
  if (!isKept(task)) return DONE;
  for (const [what, value] of Object.entries({ result, output })) {
    try {
      JSON.stringify(value);
    } catch (error) {
      throw new Error(`the ${what} of the handler is not JSON`, { cause: error });
    }
  }
  return { kind: 'done', result, output };
}

/** Results of whole batches are kept for the task that closes them. */
export function isKept({ keepSeconds, batchId }: Pick<Claimed, 'keepSeconds' | 'batchId'>): boolean {
  return keepSeconds > 0 || batchId !== null;
}

const deaths = { oom: 'out-of-memory', timeout: 'timed-out', crash: 'crashed' } as const;

/** An end that may be the task's fault, and may take others along: tried again, but not for long. */
function violentEnd(
  cause: 'oom' | 'timeout' | 'crash',
  error: string,
  backoff: TaskKind<unknown>['backoff'],
  task: Counted,
): FailedOutcome {
  const ends = task.crashes + task.losses + task.ooms + task.timeouts + 1;
  if (ends >= task.lossesAllowed) return { kind: 'dead', cause: deaths[cause], error };
  return { kind: 'again', cause, seconds: Math.max(0, backoff(ends)), error };
}
