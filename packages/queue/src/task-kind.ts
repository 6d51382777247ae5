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
  /** With how many attempts lost (their process died) the task goes to the dead letters. Default 3. */
  losses: number;
}

/**
 * Declares a kind of task.
 *
 * ```ts
 * const resize = taskKind({ name: 'resize', payload: z.object({ image: z.string() }) });
 * ```
 */
export function taskKind<P>(
  kind: Pick<TaskKind<P>, 'name' | 'payload'> & Partial<Omit<TaskKind<P>, 'name' | 'payload'>>,
): TaskKind<P> {
  // The name travels in notifications, which separate words by blanks and hold 8000 bytes.
  if (!/^[\w.:/-]{1,200}$/.test(kind.name)) {
    throw new Error(`'${kind.name}' can't name a kind of task: use 1 to 200 letters, digits and . : / _ -`);
  }
  return { retries: 5, backoff: exponentialBackoff, losses: 3, ...kind };
}

function exponentialBackoff(retry: number): number {
  const seconds = Math.min(2 ** (retry - 1), 300);
  return seconds * (0.8 + 0.4 * Math.random());
}
