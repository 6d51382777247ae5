import type { InterruptReason, StopCause } from './attempt-end.ts';
import type { ProcessTree } from './process-tree.ts';

/** Milliseconds; Node's timers hold no more. */
const longestTimer = 2 ** 31 - 1;

/**
 * Why a signal aborted: a word, or an error whose `reason` is the word.
 *
 * | reason | what is done |
 * | --- | --- |
 * | cancelled, lease-lost | the tree is ended at once |
 * | timeout  | the same; the caller's clock was first |
 * | stopping | nothing: it may finish until `CommandRunner.stop` says that the grace is over |
 */
export function causeOf(reason: unknown): StopCause | null {
  const word = typeof reason === 'object' && reason !== null && 'reason' in reason ? reason.reason : reason;
  if (word === 'stopping') return null;
  if (word === 'timeout') return { kind: 'timeout' };
  const interrupt: InterruptReason = word === 'lease-lost' ? 'lease-lost' : 'cancelled';
  return { kind: 'interrupted', reason: interrupt };
}

/** Ends the tree when its time is over, when the attempt's signal says so, or when `graceOver` aborts. The answer stops doing that. */
export function endInTime(tree: ProcessTree, signal: AbortSignal, graceOver: AbortSignal): () => void {
  const timer = setTimeout(
    () => void tree.stop({ kind: 'timeout' }),
    Math.min(tree.limits.timeoutSeconds * 1000, longestTimer),
  );
  const aborted = (): void => {
    const cause = causeOf(signal.reason);
    if (cause !== null) void tree.stop(cause);
  };
  const over = (): void => void tree.stop({ kind: 'interrupted', reason: 'stopping' });
  signal.addEventListener('abort', aborted);
  graceOver.addEventListener('abort', over);
  if (signal.aborted) aborted();
  if (graceOver.aborted) over();
  return () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
    graceOver.removeEventListener('abort', over);
  };
}
