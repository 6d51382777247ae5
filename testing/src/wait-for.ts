import { inspect } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks again and again until `condition` gives something truthy, and returns that. A condition that throws is not met yet.
 *
 * @param options.what What is awaited, for the message, e.g. `the release to be ready`.
 * @param options.seconds Default 10.
 * @throws {Error} when it is not met in time; says what was awaited and what the condition gave last.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { what: string; seconds?: number },
): Promise<NonNullable<T>> {
  const { what, seconds = 10 } = options;
  const deadline = performance.now() + seconds * 1_000;
  for (let pause = 5; ; pause = Math.min(pause * 1.5, 50)) {
    let last: string;
    try {
      const value = await condition();
      if (value) return value;
      last = `it gave ${inspect(value)}`;
    } catch (error) {
      last = `it threw ${inspect(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}; last time ${last}`);
    await delay(pause);
  }
}

/**
 * Waits until `read` has given the same value for `milliseconds`: something that went on has come to rest.
 *
 * @returns That value.
 * @throws {Error} when it still changes after `seconds` (default 10).
 */
export async function waitUntilStill(
  read: () => number,
  options: { what: string; milliseconds?: number; seconds?: number },
): Promise<number> {
  let last = Number.NaN;
  let since = 0;
  await waitFor(
    () => {
      const now = read();
      if (now !== last) [last, since] = [now, performance.now()];
      return performance.now() - since >= (options.milliseconds ?? 200);
    },
    { what: `${options.what} to come to rest`, ...(options.seconds === undefined ? {} : { seconds: options.seconds }) },
  );
  return last;
}
