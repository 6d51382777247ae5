import { ownPostgres, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { connectPool, Queue, type QueueEvent, taskKind } from './index.ts';
import { queuesUnderTest, workerProcesses } from './queue-under-test.ts';
import { hold, poison, record } from './worker-under-test.ts';

/** What goes wrong around a queue: processes that die, freeze or are told to go, and a PostgreSQL that comes and goes. */

const note = taskKind({ name: 'note', payload: z.object({ n: z.number() }), retries: 0 });

async function setup() {
  const { pool, url, queue, events } = await queuesUnderTest({ leaseSeconds: 1 });
  const worker = await workerProcesses({ pool, url });
  const release = (name: string) => pool.query('insert into release values ($1)', [name]);
  const idle = () =>
    waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
      what: 'every task to be done',
      seconds: 30,
    });
  return { pool, url, queue, events, worker, release, idle };
}

test('tasks of a worker that was killed go back at once, count as lost, and keep their retries', async () => {
  const { pool, queue, worker, release, idle } = await setup();
  const first = await worker(60);
  for (const name of ['a', 'b', 'c']) await queue.enqueue(hold, { name });
  for (const name of ['a', 'b', 'c']) await first.waitForOutput(new RegExp(`holds ${name} attempt 1`));
  await first.kill();

  // The lease runs for a minute; that the process is gone from this host is proof enough.
  const begin = performance.now();
  const second = await worker(60);
  for (const name of ['a', 'b', 'c']) await second.waitForOutput(new RegExp(`holds ${name} attempt 2`));
  expect(performance.now() - begin).toBeLessThan(15_000);
  const { rows } = await pool.query('select losses, failures, interruptions, history from slipway_queue.task');
  expect(rows).toHaveLength(3);
  for (const row of rows) {
    expect(row).toMatchObject({ losses: 1, failures: 0, interruptions: 0, history: [{ cause: 'lost', attempt: 1 }] });
  }
  for (const name of ['a', 'b', 'c']) await release(name);
  await idle();
});

test('what a worker says after it was frozen past its lease is rejected and reported', async () => {
  const { pool, queue, worker, release, idle } = await setup();
  const frozen = await worker(1);
  await queue.enqueue(hold, { name: 'x' });
  await frozen.waitForOutput(/holds x attempt 1/);
  // PostgreSQL may have started so lately that silence is forgiven.
  await pool.query(
    'select pg_sleep(greatest(0, 1.1 - extract(epoch from clock_timestamp() - pg_postmaster_start_time())))',
  );
  frozen.signal('SIGSTOP');
  const other = await worker(1);
  await other.waitForOutput(/holds x attempt 2/);
  frozen.signal('SIGCONT');
  await frozen.waitForOutput(/"event":"lease-lost","tasks":1/);
  await frozen.waitForOutput(/aborted x: AbortError: this process did not report in time/);
  await release('x');
  await frozen.waitForOutput(/"event":"late".*"attempt":1/);
  await other.waitForOutput(/releases x attempt 2/);
  await idle();
  expect(other.output()).not.toMatch(/"late"/);
  // It works again, under a new name.
  await other.kill();
  await queue.enqueue(hold, { name: 'x' });
  await frozen.waitForOutput(/releases x attempt 1[^]*releases x attempt 1/);
});

test('SIGTERM gives tasks back that outlast the grace, without using up anything', async () => {
  const { pool, queue, worker } = await setup();
  const first = await worker(60);
  await queue.enqueue(hold, { name: 'x' });
  await first.waitForOutput(/holds x attempt 1/);
  first.signal('SIGTERM');
  expect(await first.exited).toEqual({ code: 0, signal: null });
  expect(first.output()).toMatch(/aborted x: AbortError: the queue is stopping/);
  const { rows } = await pool.query('select state, losses, failures, interruptions from slipway_queue.task');
  expect(rows).toEqual([{ state: 'ready', losses: 0, failures: 0, interruptions: 1 }]);
  const second = await worker(60);
  await second.waitForOutput(/holds x attempt 2/);
});

test('a task that takes its process down again and again ends in the dead letters', async () => {
  const { queue, worker } = await setup();
  const id = await queue.enqueue(poison, null);
  for (let n = 1; n <= 3; n++) await (await worker(60).catch(() => null))?.exited;
  const last = await worker(60);
  await last.waitForOutput(/"event":"rescued","taskId":"\d+","kind":"poison","lane":"normal","fate":"dead"/);
  const [dead] = await queue.dead({ limit: 1 });
  expect(dead).toMatchObject({ id, cause: 'lost', losses: 3, failures: 0, attempts: 3 });
  expect(dead?.history).toHaveLength(3);
});

test(
  'tasks of one key run one at a time and in order, whichever of four processes takes them',
  { timeout: 120_000 },
  async () => {
    const { pool, queue, worker, idle } = await setup();
    const workers = await Promise.all([worker(60), worker(60), worker(60), worker(60)]);
    for (let n = 0; n < 30; n++) {
      // One of each key after the other: of two that are added at once, the one with the larger id may be committed, and run, first.
      const enqueued = ['red', 'green', 'blue'].map((key) => queue.enqueue(record, { name: key }, { key }));
      await Promise.all([...enqueued, queue.enqueue(record, { name: 'free' })]);
    }
    await idle();
    const { rows: overlaps } = await pool.query(
      `select a.name, a.task, b.task as other from record a join record b
     on a.name = b.name and a.name <> 'free' and a.task < b.task and b.began_at < a.ended_at`,
    );
    expect(overlaps).toEqual([]);
    const { rows } = await pool.query<{ runs: number; processes: number }>(
      'select count(*)::int as runs, count(distinct pid)::int as processes from record',
    );
    expect(rows[0]?.runs).toBe(120);
    expect(rows[0]?.processes).toBeGreaterThan(1);
    for (const child of workers) expect(child.output()).not.toMatch(/"event":"(failed|late|dead)"/);
  },
);

test('a key that becomes free wakes the process that waits for it', async () => {
  const { queue, worker, release, idle } = await setup();
  const elsewhere = await worker(60, { concurrency: 1 });
  await queue.enqueue(hold, { name: 'x' }, { key: 'k' });
  await elsewhere.waitForOutput(/holds x/);
  const ended: number[] = [];
  queue.work(note, async () => void ended.push(performance.now()));
  await queue.start();
  await queue.enqueue(note, { n: 1 }, { key: 'k' });
  await queue.enqueue(note, { n: 2 });
  await waitFor(() => ended.length === 1, { what: 'the task without a key' });
  await release('x');
  await elsewhere.waitForOutput(/releases x/);
  const begin = performance.now();
  await waitFor(() => ended.length === 2, { what: 'the task whose key is free' });
  expect(performance.now() - begin).toBeLessThan(5_000);
  await idle();
});

test('nothing is lost and nothing crashes when every connection is cut again and again', async () => {
  const { pool, queue, events, idle } = await setup();
  const seen = new Map<number, number>();
  queue.work(note, async ({ n }) => void seen.set(n, (seen.get(n) ?? 0) + 1), { concurrency: 5 });
  await queue.start();
  const cut = () =>
    pool
      .query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      .catch(() => undefined);
  const tasks = Array.from({ length: 200 }, (_, n) => n);
  for (const n of tasks) {
    // An enqueue whose connection is cut is the caller's to repeat; its name makes that safe while it waits.
    await waitFor(() => queue.enqueue(note, { n }, { unique: String(n) }), { what: `task ${n} to be enqueued` });
    if (n % 40 === 20) await cut();
  }
  await idle();
  expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual(tasks);
  expect(events.filter(({ event }) => event === 'disconnected').length).toBeGreaterThan(0);
  expect(events.filter(({ event }) => event === 'failed' || event === 'dead')).toEqual([]);
});

test.for(['stopped', 'killed'] as const)('work goes on after PostgreSQL was %s and started again', async (how) => {
  const postgres = await ownPostgres();
  const pool = connectPool(postgres.url);
  onTestFinished(() => pool.end());
  const events: QueueEvent[] = [];
  const queue = new Queue({ pool, leaseSeconds: 2, onEvent: (event) => events.push(event) });
  await queue.migrate();
  const finish = Promise.withResolvers<void>();
  const seen: number[] = [];
  queue.work(note, async ({ n }) => {
    seen.push(n);
    if (n < 3) await finish.promise;
  });
  await queue.start();
  onTestFinished(() => queue.stop({ graceSeconds: 0 }));
  for (let n = 0; n < 3; n++) await queue.enqueue(note, { n });
  await waitFor(() => seen.length === 3, { what: 'three running tasks' });

  const { exited } = postgres;
  if (how === 'killed') process.kill(postgres.pid, 'SIGKILL');
  else await postgres.stop();
  await exited;
  await waitFor(() => events.some(({ event }) => event === 'disconnected'), { what: 'the queue to notice' });
  finish.resolve(); // finished while PostgreSQL is down
  await expect(queue.enqueue(note, { n: 99 })).rejects.toThrow();
  const begin = performance.now();
  // Longer than the lease: the silence was not ours.
  await waitFor(() => performance.now() - begin > 2_500, { what: 'the lease to run out', seconds: 5 });
  await postgres.start();

  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
    what: 'the finished tasks to be acknowledged',
  });
  await queue.enqueue(note, { n: 4 });
  await waitFor(() => seen.includes(4), { what: 'a new task to be handled' });
  expect(seen).toEqual([0, 1, 2, 4]); // none ran twice
  expect(events.filter(({ event }) => event === 'late' || event === 'failed')).toEqual([]);
});

test('a process whose lease was taken aborts what it runs', async () => {
  const { pool, queue, events, idle } = await setup();
  const reasons: string[] = [];
  const done: number[] = [];
  const second = Promise.withResolvers<void>();
  queue.work(note, async (_, { signal, number }) => {
    if (number === 1) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      reasons.push(String(signal.reason));
      await second.promise;
    } else second.resolve();
    done.push(number);
  });
  await queue.start();
  await queue.enqueue(note, { n: 1 });
  await waitFor(async () => (await queue.counts())['note']?.running === 1, { what: 'the task to run' });
  await pool.query('update slipway_queue.worker set gone_at = clock_timestamp()');
  await idle();
  expect(reasons).toEqual(['AbortError: this process did not report in time, so the task was given to another one']);
  await waitFor(() => done.length === 2, { what: 'both attempts to end' });
  await waitFor(() => events.some(({ event }) => event === 'late'), { what: 'the late result to be reported' });
  expect(events.map(({ event }) => event)).toContain('lease-lost');
});
