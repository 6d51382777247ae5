import { waitFor } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { Crashed, Interrupted, OutOfMemory, taskKind, TimedOut } from './index.ts';
import { queuesUnderTest } from './queue-under-test.ts';

/** Each way in which an attempt ends has its own counter and its own path. */

const heavy = taskKind({ name: 'heavy', payload: z.null(), retries: 1, backoff: () => 0, fallback: 'bigger' });

/** Runs one task through attempts that end like this, one after the other, and tells in which lanes they ran. */
async function run(
  ends: (Error | Promise<void> | null)[],
  options: {
    redrive?: 'yes';
    kind?: Partial<typeof heavy>;
    whenRunning?: (pool: Pool, lane: string) => Promise<void>;
  } = {},
) {
  const kind = { ...heavy, ...options.kind };
  const { pool, queue } = await queuesUnderTest({ leaseSeconds: 1 });
  const lanes: string[] = [];
  for (const lane of ['normal', 'fallback'] as const) {
    queue.work(
      kind,
      async () => {
        const end = ends[lanes.push(lane) - 1] ?? null;
        if (end instanceof Error) throw end;
        if (end === null) return;
        await options.whenRunning?.(pool, lane);
        await end;
      },
      { lane },
    );
  }
  await queue.start();
  const id = await queue.enqueue(kind, null);
  const settled = () =>
    waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, { what: 'the end' });
  await settled();
  const [dead = null] = await queue.dead({ limit: 1 });
  if (options.redrive === 'yes') {
    await queue.redrive(id);
    await settled();
  }
  return { lanes, dead };
}

test.for([new OutOfMemory('too big'), new TimedOut('too slow')])(
  '%s in normal goes to fallback at once',
  async (end) => {
    expect(await run([end, null])).toEqual({ lanes: ['normal', 'fallback'], dead: null });
  },
);

test('what escalated stays in fallback: after an interruption, a crash, an error and a redrive', async () => {
  const { lanes, dead } = await run(
    [
      new OutOfMemory('too big'),
      new Interrupted('spot'),
      new Crashed('exit 139'),
      new Error('once'),
      new Error('twice'),
      null,
    ],
    { redrive: 'yes' },
  );
  expect(lanes).toEqual(['normal', ...Array<string>(5).fill('fallback')]);
  expect(dead).toMatchObject({
    cause: 'retries-used',
    lane: 'fallback',
    ooms: 1,
    timeouts: 0,
    interruptions: 1,
    crashes: 1,
    losses: 0,
    failures: 1,
    attempts: 5,
  });
  expect(dead?.history.map(({ cause, lane }) => `${cause} ${lane}`)).toEqual([
    'oom normal',
    'crash fallback',
    'error fallback',
    'error fallback',
  ]);
});

test('a task that was lost in fallback stays there', async () => {
  const lost = Promise.withResolvers<void>();
  const { lanes, dead } = await run([new OutOfMemory('too big'), lost.promise, null], {
    whenRunning: async (pool, lane) => {
      if (lane !== 'fallback') return;
      await pool.query('update slipway_queue.worker set gone_at = clock_timestamp() where gone_at is null');
    },
  });
  lost.resolve();
  expect(lanes).toEqual(['normal', 'fallback', 'fallback']);
  expect(dead).toBeNull();
});

test.for<[Error, string, string]>([
  [new OutOfMemory('too big'), 'ooms', 'out-of-memory'],
  [new TimedOut('too slow'), 'timeouts', 'timed-out'],
])('%s where there is no fallback: tried again like a crash, then dead', async ([end, counter, cause]) => {
  const { lanes, dead } = await run([end, new Crashed('exit 139'), end], { kind: { fallback: 'none', losses: 3 } });
  expect(lanes).toEqual(['normal', 'normal', 'normal']);
  expect(dead).toMatchObject({ cause, lane: 'normal', [counter]: 1, crashes: 1, failures: 0, losses: 0, attempts: 3 });
});

test('timeoutSeconds aborts the attempt, which ran out of time if it throws, and is done if it returns', async () => {
  const { pool, queue } = await queuesUnderTest();
  const runs: string[] = [];
  const kind = taskKind({ name: 'slow', payload: z.enum(['throws', 'returns']), retries: 0, fallback: 'bigger' });
  queue.work(
    kind,
    async (then, { signal, lane }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      runs.push(`${then} in ${lane}: ${String(signal.reason)}`);
      if (then === 'throws') throw new Error('was told to end');
    },
    { timeoutSeconds: 0.2 },
  );
  queue.work(kind, async (then, { lane }) => void runs.push(`${then} in ${lane}`), { lane: 'fallback' });
  await queue.start();
  await queue.enqueue(kind, 'returns');
  await queue.enqueue(kind, 'throws');
  await waitFor(() => runs.length === 3, { what: 'three attempts' });
  expect(runs.toSorted()).toEqual([
    'returns in normal: AbortError: the time of the attempt is over',
    'throws in fallback',
    'throws in normal: AbortError: the time of the attempt is over',
  ]);
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, { what: 'the end' });
  expect((await queue.tally())[0]).toMatchObject({ lane: 'fallback', done: 1 });
  expect((await queue.tally())[1]).toMatchObject({ lane: 'normal', done: 1, timeouts: 1, escalated: 1 });
});

test('out of memory in fallback too: it is dead', async () => {
  const { lanes, dead } = await run([new TimedOut('too slow'), new OutOfMemory('too big')]);
  expect(lanes).toEqual(['normal', 'fallback']);
  expect(dead).toMatchObject({ cause: 'out-of-memory', timeouts: 1, lane: 'fallback' });
});
