import type { z } from 'zod';
import type { Rate } from './rate.ts';

/**
 * A kind of task: its name and what its payload looks like. Payloads are checked when they are enqueued and again before
 * they are handled. Tasks of one kind are one queue.
 */
export interface TaskKind<P> {
  name: string;
  payload: z.ZodType<P>;
  /** How often a task whose handler threw is tried again before it goes to the dead letters. Default 5. */
  retries: number;
  /** Seconds before retry n (1-based). Default: 1, 2, 4, 8 ... at most 300, with jitter. */
  backoff: (retry: number) => number;
  /** With how many attempts lost or crashed (their process died) the task goes to the dead letters. Default 3. */
  losses: number;
  /** `bigger`: a task that runs out of memory or time goes to the lane `fallback`, once. Default `none`. */
  fallback: 'bigger' | 'none';
  /** How many tasks of one key may run at once, over all processes and kinds; null: any number. Default 1. */
  keyConcurrency: number | null;
  /** How many tasks may start in a time, over all processes. Default: no limit. */
  rate: Rate | null;
  /** The same for each key. */
  keyRate: Rate | null;
  /** For how many seconds the result of a task is kept after it is done. Default 0: not at all. */
  keepSeconds: number;
}

/** What {@link taskKind} takes; only name and payload are needed. */
export type TaskKindOptions<P> = Pick<TaskKind<P>, 'name' | 'payload'> &
  Partial<Omit<TaskKind<P>, 'name' | 'payload' | 'rate' | 'keyRate'>> & {
    rate?: RateOptions;
    keyRate?: RateOptions;
  };

/** `{ limit: 100 }` is 100 a second, `{ limit: 10, seconds: 60 }` 10 a minute. `burst`: how many may start at once; default: `limit`. */
export interface RateOptions {
  limit: number;
  seconds?: number;
  burst?: number;
}

/**
 * Declares a kind of task.
 *
 * ```ts
 * const resize = taskKind({ name: 'resize', payload: z.object({ image: z.string() }) });
 * ```
 *
 * @throws {Error} for a name or a number that can't be used.
 */
export function taskKind<P>(kind: TaskKindOptions<P>): TaskKind<P> {
  // The name travels in notifications, which separate words by blanks and hold 8000 bytes.
  if (!/^[\w.:/-]{1,200}$/.test(kind.name)) {
    throw new Error(`'${kind.name}' can't name a kind of task: use 1 to 200 letters, digits and . : / _ -`);
  }
  const { rate, keyRate, ...rest } = kind;
  if (rest.keyConcurrency != null && !(Number.isInteger(rest.keyConcurrency) && rest.keyConcurrency >= 1)) {
    throw new Error(
      `kind ${kind.name}: keyConcurrency is ${rest.keyConcurrency}, expected a whole number from 1, or null for no limit`,
    );
  }
  return {
    retries: 5,
    backoff: exponentialBackoff,
    losses: 3,
    fallback: 'none',
    keyConcurrency: 1,
    keepSeconds: 0,
    ...rest,
    rate: fullRate(kind.name, 'rate', rate),
    keyRate: fullRate(kind.name, 'keyRate', keyRate),
  };
}

function fullRate(kind: string, field: string, rate: RateOptions | undefined): Rate | null {
  if (rate === undefined) return null;
  const full = { seconds: 1, burst: Math.max(1, Math.floor(rate.limit)), ...rate };
  if (full.limit > 0 && full.seconds > 0 && full.burst >= 1) return full;
  throw new Error(
    `kind ${kind}: ${field} is ${JSON.stringify(rate)}, expected limit and seconds above 0, and burst from 1`,
  );
}

function exponentialBackoff(retry: number): number {
  const seconds = Math.min(2 ** (retry - 1), 300);
  return seconds * (0.8 + 0.4 * Math.random());
}
