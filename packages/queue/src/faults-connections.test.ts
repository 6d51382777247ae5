import { ownPostgres, testDatabase, waitFor, waitUntilStill } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { connectPool, Queue, type QueueEvent, taskKind } from './index.ts';
import { PostgresProxy } from './postgres-proxy-under-test.ts';

/** What goes wrong between a queue and its PostgreSQL. At the end of each: the count of tasks in is that of done + dead. */

const note = taskKind({ name: 'note', payload: z.object({ n: z.number() }), retries: 0 });
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

/** A queue on some way to the database. */
async function queueOn(url: string, leaseSeconds: number) {
  const pool = connectPool(url);
  const events: QueueEvent[] = [];
  const queue = new Queue({ pool, leaseSeconds, onEvent: (event) => events.push(event) });
  onTestFinished(async () => {
    await queue.stop({ graceSeconds: 0 });
    await pool.end();
  });
  const of = (name: QueueEvent['event']) => events.filter(({ event }) => event === name);
  return { queue, events, of };
}

async function proxied() {
  const { pool, url } = await testDatabase();
  const direct = new Queue({ pool });
  await direct.migrate();
  const proxy = await PostgresProxy.before(url);
  return { pool, url, direct, proxy, idle: () => idle(pool, direct) };
}

/** Nobody holds or waits for anything any more. */
async function idle(pool: Pool, queue: Queue): Promise<void> {
  await waitFor(
    async () => {
      const { note: counts } = await queue.counts();
      return counts === undefined || counts.scheduled + counts.ready + counts.running === 0;
    },
    { what: 'every task to be done or dead', seconds: 40 },
  );
  expect((await pool.query('select from slipway_queue.task')).rowCount).toBe(0);
}

test('answers that get lost after the commit: claims are not lost, ends are not told twice', async () => {
  const { direct, proxy, idle } = await proxied();
  const { queue, of } = await queueOn(proxy.url, 2);
  const seen = new Map<number, number>();
  queue.work(note, async ({ n }) => void seen.set(n, (seen.get(n) ?? 0) + 1), { concurrency: 5 });
  await queue.start();
  proxy.loseAnswers(23);
  for (const n of numbers(200)) {
    await direct.enqueue(note, { n });
    // Now and then a moment, so that there are many claims.
    if (n % 10 === 9) await waitFor(() => seen.size > n / 2, { what: `half of ${n} tasks to be seen`, seconds: 20 });
  }
  await waitFor(() => proxy.cuts > 5, { what: 'many lost answers', seconds: 30 }).finally(() => proxy.pass());
  await idle();
  expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual(numbers(200));
  expect(await direct.dead({ limit: 1 })).toEqual([]);
  expect(of('failed')).toEqual([]);
  const told = of('done').map((event) => 'taskId' in event && event.taskId);
  expect(new Set(told).size).toBe(told.length);
});

test('a task whose claim was carried out and whose answer got lost goes back, though its process lives', async () => {
  const { direct, proxy, idle } = await proxied();
  const { queue, of } = await queueOn(proxy.url, 6);
  const seen: number[] = [];
  queue.work(note, async ({ n }) => void seen.push(n));
  await queue.start();
  await waitUntilStill(() => of('connected').length, { what: 'the start' });
  proxy.loseAnswers(2); // the first is the notification
  await direct.enqueue(note, { n: 1 });
  await waitFor(() => proxy.cuts > 0, { what: 'the lost answer' });
  expect((await direct.counts())['note']).toMatchObject({ running: 1, ready: 0 });
  expect(seen).toEqual([]);
  proxy.pass();
  await idle();
  expect(seen).toEqual([1]);
  expect(of('rescued')).toEqual([]);
});

test.for(['open', 'all'] as const)(
  'connections that swallow everything (%s) are noticed, and what ended meanwhile is written',
  async (which) => {
    const { direct, proxy, idle } = await proxied();
    const { queue, of } = await queueOn(proxy.url, 3);
    const finish = Promise.withResolvers<void>();
    const seen: number[] = [];
    queue.work(note, async ({ n }) => {
      seen.push(n);
      if (n < 3) await finish.promise;
    });
    await queue.start();
    for (const n of numbers(3)) await direct.enqueue(note, { n });
    await direct.enqueue(note, { n: 3 }); // opens the writing connection
    await waitFor(() => of('done').length === 1, { what: 'a task to be done' });
    proxy.swallow(which);
    finish.resolve();
    await waitFor(() => of('disconnected').length > 0, { what: 'the queue to notice', seconds: 6 });
    // New ones hang as well, and have to be given up like the old ones.
    if (which === 'all') await waitFor(() => of('disconnected').length > 1, { what: 'a connect to be given up' });
    proxy.pass();
    await direct.enqueue(note, { n: 4 });
    await idle();
    expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expect(of('done')).toHaveLength(5);
  },
);

test.for(['ends before', 'ends after'] as const)(
  'a process that is cut off for longer than its lease: another one does its task; its own attempt %s that, and is late',
  async (when) => {
    const { url, direct, proxy, idle } = await proxied();
    const cutOff = await queueOn(proxy.url, 1);
    const finish = Promise.withResolvers<void>();
    const ran: string[] = [];
    cutOff.queue.work(note, async () => {
      ran.push('cut off');
      await finish.promise;
    });
    await cutOff.queue.start();
    await direct.enqueue(note, { n: 1 });
    await waitFor(() => ran.length === 1, { what: 'the task to run' });
    proxy.refuse();
    // Its end is tried again and again: what it finds then may be its own work, or another's.
    if (when === 'ends before') finish.resolve();
    const other = await queueOn(url, 1);
    other.queue.work(note, async () => void ran.push('other'));
    await other.queue.start();
    await waitFor(() => other.of('done').length === 1, { what: 'the other one to do it', seconds: 20 });
    finish.resolve();
    proxy.pass();
    await waitFor(() => cutOff.of('late').length === 1, { what: 'the late end to be rejected', seconds: 20 });
    await idle();
    expect(ran).toEqual(['cut off', 'other']);
    expect(cutOff.of('done')).toEqual([]);
    expect(other.of('rescued')).toHaveLength(1);
  },
);

/** A started queue, two attempts that never end, and tasks that it claimed in advance, beside counts that are not written. Then nothing answers. */
async function cutOffAtWork(leaseSeconds: number) {
  const { direct, proxy } = await proxied();
  const pool = connectPool(proxy.url);
  onTestFinished(() => pool.end());
  const queue = new Queue({ pool, leaseSeconds });
  onTestFinished(() => proxy.refuse()); // else the pool could not end
  const short = 300;
  let [ended, runs] = [0, 0];
  const work = async ({ n }: { n: number }): Promise<void> => {
    if (n < short) return void (ended += 1);
    runs += 1;
    await new Promise(() => undefined);
  };
  queue.work(note, work, { concurrency: 2 });
  await queue.start();
  // So short that the next ones are claimed in advance.
  const add = (from: number, to: number) =>
    direct.enqueueMany(
      note,
      numbers(to - from).map((n) => ({ payload: { n: from + n } })),
    );
  await add(0, short);
  await waitFor(() => ended === short, { what: 'short tasks to end', seconds: 20 });
  await add(short, short + 40);
  await waitFor(
    async () => {
      const { running = 0, ready = 0 } = (await direct.counts())['note'] ?? {};
      return runs === 2 && running > 2 && running + ready === 40;
    },
    { what: 'two attempts that run, tasks that are claimed in advance, and no end to be written', seconds: 20 },
  );
  proxy.swallow('all');
  return { queue, direct, proxy };
}

test('stops in time when nothing answers any more, whatever is under way', async () => {
  // Its statements have 30 s; what a stop may take is far less, and does not hang on them.
  const { queue, direct } = await cutOffAtWork(60);
  const begin = performance.now();
  await queue.stop({ graceSeconds: 0.5 });
  // 5 s each for what has not begun, what runs and the lease, 2 s each for counts and hanging up, and the grace.
  expect(performance.now() - begin).toBeLessThan(25_000);
  // The others find them when the lease has run out.
  expect((await direct.counts())['note']?.running).toBeGreaterThanOrEqual(2);
}, 90_000);

test('stops in time with nothing to do but counts that can not be written', async () => {
  const { proxy } = await proxied();
  const pool = connectPool(proxy.url);
  onTestFinished(() => pool.end());
  const queue = new Queue({ pool, leaseSeconds: 60 });
  onTestFinished(() => proxy.refuse()); // else the pool could not end
  await queue.start();
  await queue.enqueue(note, { n: 1 });
  proxy.swallow('all');
  const begin = performance.now();
  await queue.stop();
  // 2 s for counts, 5 for the lease, 2 for hanging up.
  expect(performance.now() - begin).toBeLessThan(15_000);
});

test('the ends that could not be written before a stop ended are not tried again', async () => {
  const { queue, proxy } = await cutOffAtWork(3);
  await queue.stop({ graceSeconds: 0.5 });
  // Longer than a try and the longest pause after it; an end that is tried on and on never leaves such a gap.
  await waitUntilStill(() => proxy.connections, { what: 'new connections', milliseconds: 5_000, seconds: 30 });
}, 90_000);

test('while PostgreSQL is away, short tasks that ended are held up to a bound, and all are written when it is back', async () => {
  const { direct, proxy, idle } = await proxied();
  const { queue, of } = await queueOn(proxy.url, 5);
  const count = 20_000;
  let ran = 0;
  queue.work(note, async () => void (ran += 1), { concurrency: 50 });
  await queue.start();
  await direct.enqueueMany(
    note,
    numbers(count).map((n) => ({ payload: { n } })),
  );
  await waitFor(() => of('done').length > 2_000, { what: 'the queue to learn that they are short' });
  proxy.refuse();
  await waitUntilStill(() => ran, { what: 'handlers', milliseconds: 1_500 });
  const held = ran - of('done').length;
  console.log(`${held} ends held while PostgreSQL is away`);
  expect(held).toBeLessThanOrEqual(8_000 + 50);
  expect(ran).toBeLessThan(count);
  proxy.pass();
  await idle();
  expect(of('failed')).toEqual([]);
});

test('tasks are claimed while no end can be written: the next ones wait when 8000 ends do', async () => {
  const { pool, url, direct, idle } = await proxied();
  const { queue, of } = await queueOn(url, 60);
  await pool.query(`
    create function wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(1); return null; end $$;
    create trigger wait before delete on slipway_queue.task for each statement execute function wait()`);
  const count = 20_000;
  let ran = 0;
  queue.work(note, async () => void (ran += 1), { concurrency: 50 });
  await direct.enqueueMany(
    note,
    numbers(count).map((n) => ({ payload: { n } })),
  );
  const gate = await pool.connect();
  onTestFinished(() => gate.release(true));
  await gate.query('select pg_advisory_lock(1)');
  await queue.start();
  await waitFor(() => ran > 3_000, { what: 'many tasks to run', seconds: 20 });
  await waitUntilStill(() => ran, { what: 'handlers', milliseconds: 1_000 });
  expect(of('done')).toEqual([]);
  expect(ran).toBeGreaterThan(8_000);
  expect(ran).toBeLessThanOrEqual(8_000 + 50);
  await gate.query('select pg_advisory_unlock(1)');
  await idle();
  expect(of('done')).toHaveLength(count);
});

test('a primary that became read-only is waited for, and no end is lost', async () => {
  const postgres = await ownPostgres();
  const pool = connectPool(postgres.url);
  onTestFinished(() => pool.end());
  const { queue, of } = await queueOn(postgres.url, 2);
  await queue.migrate();
  const finish = Promise.withResolvers<void>();
  const seen: number[] = [];
  queue.work(note, async ({ n }) => {
    seen.push(n);
    await finish.promise;
  });
  await queue.start();
  for (const n of numbers(3)) await queue.enqueue(note, { n });
  await waitFor(() => seen.length === 3, { what: 'three running tasks' });
  const readOnly = async (value: 'on' | 'off') => {
    await pool.query('set default_transaction_read_only = off').catch(() => undefined);
    await pool.query(`alter system set default_transaction_read_only = ${value}`);
    await pool.query('select pg_reload_conf()');
  };
  await readOnly('on');
  await waitFor(
    async () =>
      await queue.enqueue(note, { n: 9 }).then(
        () => false,
        (error: unknown) => /read-only/.test(String(error)),
      ),
    {
      what: 'writes to be refused',
    },
  );
  const written = seen.length;
  finish.resolve();
  const begin = performance.now();
  await waitFor(() => performance.now() - begin > 2_500, { what: 'more than a lease to pass' });
  expect(of('done')).toHaveLength(0);
  await readOnly('off');
  await idle(pool, queue);
  expect(seen.length).toBeGreaterThanOrEqual(written);
  expect(new Set(seen).size).toBe(seen.length); // none ran twice, which would be an end that was lost
  expect(of('done')).toHaveLength(seen.length);
  expect(of('failed')).toEqual([]);
});
