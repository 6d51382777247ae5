import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type RateOptions, taskKind } from './index.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import { reserveStarts, returnStarts } from './statements/rate.ts';
import { namesIn } from './statements/names.ts';

async function setup() {
  const { pool, queue, another } = await queuesUnderTest();
  const queues = [queue, another(), another()];
  // When tasks were claimed, by PostgreSQL's clock.
  await pool.query('create table start (key text, at timestamptz)');
  await pool.query(
    `create function noted() returns trigger language plpgsql as $$
     begin insert into public.start values (new.key, clock_timestamp()); return null; end $$`,
  );
  await pool.query(
    `create trigger noted after update on slipway_queue.task for each row
     when (old.state = 'ready' and new.state = 'running') execute function public.noted()`,
  );
  const starts = async (key: string | null) =>
    (
      await pool.query<{ at: number }>(
        `select extract(epoch from at)::float8 as at from start where key is not distinct from $1 order by at`,
        [key],
      )
    ).rows.map(({ at }) => at);
  return { pool, queues, starts };
}

/** A start is claimed this much later than its token was granted, when the machine is busy. */
const DELAY = 0.25;

/**
 * In any window at most `burst + rate x window` start; and not much slower than they may: were each of three queues given a third, that would show. (With
 * a burst of 1 nothing makes up for a moment in which the machine was busy.)
 */
function expectRate(starts: number[], { limit, seconds = 1, burst = limit }: RateOptions): void {
  const perSecond = limit / seconds;
  for (const [first, from] of starts.entries()) {
    for (const [offset, to] of starts.slice(first).entries()) {
      expect(offset + 1).toBeLessThanOrEqual(burst + perSecond * (to - from + DELAY) + 0.01);
    }
  }
  const took = (starts.at(-1) ?? 0) - (starts[0] ?? 0);
  expect((starts.length - burst) / took).toBeGreaterThan(0.6 * perSecond);
}

test.for<RateOptions>([
  { limit: 50, burst: 5 },
  { limit: 10, seconds: 0.5, burst: 1 },
])('three queues together start as many tasks as the rate allows: %o', async (rate) => {
  const { queues, starts } = await setup();
  const kind = taskKind({ name: 'note', payload: z.null(), rate });
  for (const queue of queues) {
    queue.work(kind, async () => undefined, { concurrency: 5 });
    queue.work(kind, async () => undefined, { lane: 'fallback', concurrency: 5 });
    await queue.start();
  }
  const tasks = Array.from({ length: 60 }, (_, n) => ({
    payload: null,
    lane: n < 30 ? ('normal' as const) : ('fallback' as const),
  }));
  await queues[0]?.enqueueMany(kind, tasks);
  await waitFor(async () => (await starts(null)).length === 60, { what: 'all starts', seconds: 30 });
  expectRate(await starts(null), rate);
});

test('each key has its own rate, and one that must wait holds up no other', async () => {
  const { queues, starts } = await setup();
  const keyRate = { limit: 20, burst: 2 };
  const kind = taskKind({ name: 'note', payload: z.null(), keyRate, keyConcurrency: null });
  for (const queue of queues) {
    queue.work(kind, async () => undefined);
    await queue.start();
  }
  const keys = ['red', 'green', 'blue'];
  await queues[1]?.enqueueMany(
    kind,
    Array.from({ length: 90 }, (_, n) => ({ payload: null, key: n < 70 ? `${keys[n % 3]}` : 'late' })),
  );
  for (const [key, count] of [
    ['red', 24],
    ['green', 23],
    ['blue', 23],
    ['late', 20],
  ] as const) {
    await waitFor(async () => (await starts(key)).length === count, { what: `all starts of ${key}`, seconds: 30 });
    expectRate(await starts(key), keyRate);
  }
});

test('what is given back can be granted again; a slower rate than before does not hold up a faster one', async () => {
  const { pool } = await setup();
  const names = namesIn('slipway_queue');
  const rate = { limit: 3, seconds: 3_600, burst: 3 };
  const reserve = async (wanted: number, by = rate) =>
    (await reserveStarts(pool, names, [{ kind: 'note', rate: by, wanted }]))[0];
  expect(await reserve(2)).toMatchObject({ number: 2, nextInMs: 0 });
  const second = await reserve(2);
  expect(second?.number).toBe(1);
  expect(second?.nextInMs).toBeGreaterThan(1_190_000);
  expect(await reserve(1)).toMatchObject({ number: 0 });
  await returnStarts(pool, names, [{ kind: 'note', rate, number: 2 }]);
  expect(await reserve(5)).toMatchObject({ number: 2 });
  expect(await reserve(1, { limit: 10, seconds: 1, burst: 10 })).toMatchObject({ number: 1 });
});
