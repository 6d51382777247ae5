import { waitFor, waitUntilStill } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { taskKind } from './index.ts';
import { queuesUnderTest, workerProcesses } from './queue-under-test.ts';
import { Link } from './link.ts';
import { limited } from './worker-under-test.ts';

const note = taskKind({ name: 'note', payload: z.object({ n: z.number() }), retries: 0 });
const free = taskKind({ name: 'free', payload: z.object({ n: z.number() }), retries: 0, keyConcurrency: null });
const second = taskKind({ name: 'second', payload: z.object({ n: z.number() }), retries: 0 });

async function load(pool: Pool, kind: string, key: string, count: number): Promise<void> {
  await pool.query(
    `insert into slipway_queue.task (kind, payload, state, run_at, key, losses_allowed)
     select $1, json_build_object('n', n), 'ready', now(), $2, 3 from generate_series(1, $3::int) as n`,
    [kind, key, count],
  );
}

const idle = (pool: Pool) =>
  waitFor(async () => (await pool.query('select from slipway_queue.task limit 1')).rowCount === 0, {
    what: 'every task to be done',
    seconds: 60,
  });

test.for([note, free])(
  'keys take turns: nine with 10 tasks are done before one with 100,000 has had much more ($name)',
  async (kind) => {
    const { queue, pool } = await queuesUnderTest();
    await load(pool, kind.name, 'a hundred thousand', 100_000);
    for (let n = 1; n <= 9; n++) await load(pool, kind.name, `ten ${n}`, 10);
    const done = new Map<string, number>();
    const others = Promise.withResolvers<void>();
    queue.work(kind, async (_, { key }) => {
      done.set(key ?? '', (done.get(key ?? '') ?? 0) + 1);
      if (done.size === 10 && [...done].every(([name, count]) => name.startsWith('a') || count === 10)) {
        others.resolve();
      }
    });
    await queue.start();
    await others.promise;
    expect(done.get('a hundred thousand')).toBeLessThan(50);
  },
);

test('an urgent task of a key with a long backlog, behind a task of another kind, is claimed for a few rows', async () => {
  const { queue, pool } = await queuesUnderTest();
  await queue.enqueue(second, { n: 0 }, { key: 'k' });
  await load(pool, 'note', 'k', 100_000);
  await queue.enqueue(note, { n: -1 }, { key: 'k', priority: -1 });
  await queue.enqueue(note, { n: -2 }, { key: 'other' });
  const seen: number[] = [];
  queue.work(note, async ({ n }) => void seen.push(n));
  await queue.start();
  await waitFor(() => seen.length === 1, { what: 'the task of the other key' });
  expect(seen).toEqual([-2]); // the oldest of `k` is of a kind that nobody handles yet
  queue.work(second, async ({ n }) => void seen.push(n));
  await waitFor(() => seen.length > 5, { what: 'the key to go on' });
  expect(seen.slice(0, 4)).toEqual([-2, 0, -1, 1]);
});

test('a cancelled task lets those of other kinds with its key go on', async () => {
  const { queue } = await queuesUnderTest();
  const first = await queue.enqueue(second, { n: 0 }, { key: 'k' });
  await queue.enqueue(note, { n: 1 }, { key: 'k' });
  await queue.enqueue(note, { n: 2 });
  const seen: number[] = [];
  queue.work(note, async ({ n }) => void seen.push(n));
  await queue.start();
  await waitFor(() => seen.length === 1, { what: 'the task without a key' });
  expect(await queue.cancel(first)).toBe(true);
  await waitFor(() => seen.length === 2, { what: 'the task behind it' });
  expect(seen).toEqual([2, 1]);
});

test('keys in any alphabet take turns, and none is passed over where JavaScript and PostgreSQL sort differently', async () => {
  const { queue, pool } = await queuesUnderTest();
  const keys = ['a', 'B', 'ä', ' lead', 'two words', '\uFF5E', '😀', '𝒳', "quote'", '-', '\uE000'];
  for (let round = 0; round < 3; round++) {
    await queue.enqueueMany(
      note,
      keys.map((key) => ({ payload: { n: round }, key })),
    );
  }
  const rounds = new Map<string, number[]>();
  queue.work(note, async ({ n }, { key }) => void rounds.set(key ?? '', [...(rounds.get(key ?? '') ?? []), n]), {
    concurrency: 2,
  });
  await queue.start();
  await idle(pool);
  expect([...rounds.keys()].toSorted((a, b) => (a < b ? -1 : 1))).toEqual(keys.toSorted((a, b) => (a < b ? -1 : 1)));
  for (const order of rounds.values()) expect(order).toEqual([0, 1, 2]);
  await expect(queue.enqueue(note, { n: 1 }, { key: '' })).rejects.toThrow(
    /'key' of a task is empty; expected 1 to 500/,
  );
});

test('tasks with a key and tasks without one take turns, half and half', async () => {
  const { queue, pool } = await queuesUnderTest();
  // What has a rate is not claimed in advance.
  const kind = taskKind({ name: 'note', payload: z.object({ n: z.number() }), rate: { limit: 100_000 } });
  for (let n = 0; n < 20; n++) await load(pool, 'note', `key ${n}`, 20);
  await queue.enqueueMany(
    kind,
    Array.from({ length: 400 }, (_, n) => ({ payload: { n } })),
  );
  const seen: ('key' | 'none')[] = [];
  queue.work(kind, async (_, { key }) => void seen.push(key === null ? 'none' : 'key'), { concurrency: 2 });
  await queue.start();
  await waitFor(() => seen.length >= 200, { what: 'the first tasks' });
  const keyed = seen.slice(0, 200).filter((one) => one === 'key').length;
  expect(keyed).toBeGreaterThan(40);
  expect(keyed).toBeLessThan(160);
});

test('ten thousand keys at their limit are looked at once, and one that becomes free alone', async () => {
  const { queue, pool } = await queuesUnderTest();
  await pool.query(`insert into slipway_queue.worker (id) values ('00000000-0000-4000-8000-000000000001')`);
  await pool.query(
    `insert into slipway_queue.task (kind, payload, state, run_at, key, losses_allowed, worker_id, key_slot)
     select 'note', '{"n": 1}', case turn when 1 then 'running' else 'ready' end, now(), 'key ' || n, 3,
       case turn when 1 then '00000000-0000-4000-8000-000000000001'::uuid end, case turn when 1 then 1 end
     from generate_series(1, 10000) as n cross join generate_series(1, 2) as turn`,
  );
  await pool.query('analyze slipway_queue.task');
  const seen: (string | null)[] = [];
  queue.work(note, async (_, { key }) => void seen.push(key));
  const claims = vi.spyOn(Link.prototype, 'query');
  onTestFinished(() => claims.mockRestore());
  const looks = () => claims.mock.calls.splice(0).filter(([text]) => text.includes('roomy'));
  await queue.start();
  const { id } = (
    await pool.query<{ id: string }>(
      `select id::text from slipway_queue.task where key = 'key 77' and state = 'running'`,
    )
  ).rows[0] ?? { id: '' };
  await queue.enqueue(note, { n: 2 });
  await waitFor(() => seen.length === 1, { what: 'the task without a key' });
  let walked = 0;
  await waitUntilStill(() => (walked += looks().length), { what: 'the walk' });
  expect(walked).toBeLessThan(40);
  await queue.enqueue(note, { n: 3 });
  await waitFor(() => seen.length === 2, { what: 'the next task without a key' });
  looks();
  await pool.query(`delete from slipway_queue.task where id = $1`, [id]);
  await pool.query(`select pg_notify('slipway_queue_task', 'keyed note normal key 77')`);
  await waitFor(() => seen.length === 3, { what: 'the task whose key is free' });
  expect(seen.at(-1)).toBe('key 77');
  expect(looks().length).toBeLessThan(5);
});

test('a key never runs more tasks at once than its kind allows, in four processes', { timeout: 120_000 }, async () => {
  const { pool, url, queue } = await queuesUnderTest();
  const worker = await workerProcesses({ pool, url });
  const workers = await Promise.all([1, 2, 3, 4].map(() => worker(60, { concurrency: 6 })));
  const enqueued: Promise<string>[] = [];
  for (let n = 0; n < 60; n++) {
    for (const key of ['red', 'green', 'blue']) enqueued.push(queue.enqueue(limited, { name: key }, { key }));
  }
  await Promise.all(enqueued);
  await idle(pool);
  const { rows } = await pool.query<{ most: number; runs: number; processes: number }>(
    `select count(*)::int as runs, count(distinct pid)::int as processes, (
       select max(beside)::int from record as a cross join lateral (
         select count(*) as beside from record as b where b.name = a.name and b.began_at <= a.began_at and b.ended_at > a.began_at
       ) as others
     ) as most from record`,
  );
  expect(rows[0]).toMatchObject({ runs: 180, most: 3 });
  expect(rows[0]?.processes).toBeGreaterThan(1);
  for (const child of workers) expect(child.output()).not.toMatch(/"event":"(failed|late|dead)"/);
});
