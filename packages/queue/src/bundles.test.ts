import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ownPostgres, startProcess, temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { connectPool, Queue, type QueueEvent } from './index.ts';
import { PostgresProxy } from './postgres-proxy-under-test.ts';
import { readSignals } from './scaling/index.ts';
import { doShort, short } from './short-worker-under-test.ts';
import { markGone } from './statements/beat.ts';
import { finishBundled, rescueBundles, takeOut } from './statements/bundle.ts';
import { cancelTask } from './statements/cancel.ts';
import { claimBundle, claimFromLines } from './statements/claim-line.ts';
import type { Claimed } from './statements/claimed.ts';
import { namesIn } from './statements/names.ts';

/** Short tasks, which are leased many at a time. At the end of each test nothing is left: no task, no bundle. */

interface Attempt {
  task: string;
  number: number;
  lease: string;
  pid: number;
}

async function setup(database?: { pool: Pool; url: string }) {
  const { pool, url } = database ?? (await testDatabase());
  const queue = new Queue({ pool });
  await queue.migrate();
  await pool.query('create table release ()');
  const log = path.join(await temporaryFolder(), 'attempts');
  writeFileSync(log, '');
  const attempts = (): Attempt[] =>
    readFileSync(log, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const [task = '', number, lease = '', pid] = line.split(' ');
        return { task, number: Number(number), lease, pid: Number(pid) };
      });
  const worker = async (leaseSeconds: number, concurrency = 4, on = url) => {
    const file = path.join(import.meta.dirname, 'short-worker-under-test.ts');
    const child = startProcess(process.execPath, [file, on, String(leaseSeconds), log, String(concurrency)]);
    await child.waitForOutput(/^ready$/m);
    return child;
  };
  const add = (
    count: number,
    does: (n: number) => 'end' | 'fail once' | 'die' | 'hold' | 'snooze once' = () => 'end',
  ) =>
    queue.enqueueMany(
      short,
      Array.from({ length: count }, (_, n) => ({ payload: { n, does: does(n) } })),
    );
  const idle = () =>
    waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
      what: 'every task to be done or dead',
      seconds: 60,
    });
  const bundles = async () =>
    (await pool.query<{ ids: string[] }>('select task_ids::text[] as ids from slipway_queue.bundle order by id')).rows;
  const allClosed = () => waitFor(async () => (await bundles()).length === 0, { what: 'every bundle to be closed' });
  /** How many bundles there ever were. */
  const made = async () =>
    Number(
      (await pool.query('select case when is_called then last_value else 0 end as n from slipway_queue.bundle_id_seq'))
        .rows[0]?.n,
    );
  /** A worker that knows how short its tasks are, and whose slots are all held while it has leased 496 more that have not begun. */
  const full = async (leaseSeconds: number, on = url) => {
    const child = await worker(leaseSeconds, 4, on);
    await add(2_000);
    await idle();
    await allClosed();
    const ids = await add(500, (n) => (n < 4 ? 'hold' : 'end'));
    await waitFor(async () => (await bundles()).flatMap((bundle) => bundle.ids).length === 500, {
      what: 'all tasks to be in bundles',
    });
    await waitFor(() => ids.slice(0, 4).every((id) => attempts().some(({ task }) => task === id)), {
      what: 'all slots to be held',
    });
    return { child, ids };
  };
  const release = () => pool.query('insert into release default values');
  return { pool, url, queue, worker, add, idle, bundles, allClosed, made, attempts, full, release };
}

/** In a process of its own for none: the test looks at its events. */
function workHere(pool: Pool, onEvent: (event: QueueEvent) => void, leaseSeconds = 15): Queue {
  const queue = new Queue({ pool, leaseSeconds, onEvent });
  onTestFinished(() => queue.stop({ graceSeconds: 0 }));
  return queue;
}

test.for([1, 3])(
  'short tasks are leased in bundles, and each is done once, with %d processes',
  { timeout: 120_000 },
  async (processes) => {
    const { queue, worker, add, idle, allClosed, made, attempts } = await setup();
    const children = await Promise.all(Array.from({ length: processes }, () => worker(60)));
    const ids: string[] = [];
    // Urgent ones, unique names and retries in between, which are claimed one by one, from the same lines.
    for (let round = 0; round < 10; round++) {
      const several = await Promise.all([
        add(400),
        add(50, (n) => (n % 10 === 0 ? 'fail once' : n % 10 === 1 ? 'snooze once' : 'end')),
        ...Array.from({ length: 10 }, (_, n) => queue.enqueue(short, { n, does: 'end' }, { priority: -1 - (n % 3) })),
        ...Array.from({ length: 10 }, (_, n) => queue.enqueue(short, { n, does: 'end' }, { unique: `${round} ${n}` })),
      ]);
      ids.push(...several.flat());
    }
    await idle();
    await allClosed();
    const begun = Map.groupBy(attempts(), ({ task }) => task);
    expect(new Set(begun.keys())).toEqual(new Set(ids));
    // Ten of fifty begin twice, by design; never two attempts under one number or one lease.
    expect(attempts()).toHaveLength(ids.length + 100);
    for (const of of begun.values()) {
      expect(of.map(({ number }) => number)).toEqual(of.map((_, index) => index + 1));
      expect(new Set(of.map(({ lease }) => lease)).size).toBe(of.length);
    }
    expect(await made()).toBeGreaterThan(0);
    for (const child of children) expect(child.output()).not.toMatch(/"event":"(failed|late|dead|rescued)"/);
  },
);

test('who claims or cancels while a bundle is being claimed waits for it, and sees it', async () => {
  const { pool, add } = await setup();
  const names = namesIn('slipway_queue');
  const [one, other] = [randomUUID(), randomUUID()];
  await pool.query(`insert into ${names.worker} (id) values ($1), ($2)`, [one, other]);
  const ids = await add(10);
  const line = { kind: 'short', lane: 'normal', priority: 0, position: 0, upToPriority: 0 } as const;
  const client = await pool.connect();
  await client.query('begin');
  const { tasks, apart } = await claimBundle(client, names, one, { ...line, limit: 5 });
  expect({ ids: tasks.map(({ id }) => id), apart }).toEqual({ ids: ids.slice(0, 5), apart: null });
  const single = claimFromLines(pool, names, other, [{ ...line, limit: 3 }]);
  const bundle = claimBundle(pool, names, other, { ...line, limit: 2 });
  const cancelled = cancelTask(pool, names, String(ids[0]));
  const waiting = `select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`;
  await waitFor(async () => (await pool.query(waiting)).rowCount === 3, { what: 'the three to wait' });
  await client.query('commit');
  client.release();
  const claimed = [...(await single).tasks, ...(await bundle).tasks].map(({ id }) => id);
  expect(claimed.toSorted()).toEqual(ids.slice(5).toSorted());
  expect(await cancelled).toBe(true);
  const row = async (id: string | undefined) =>
    (
      await pool.query(
        `select state, worker_id as holder, lease::int, attempts, losses, cancelled from ${names.task} where id = $1`,
        [id],
      )
    ).rows[0];
  const first = tasks[0];
  expect(await row(ids[0])).toEqual({
    state: 'running',
    holder: one,
    lease: 1,
    attempts: 1,
    losses: 0,
    cancelled: true,
  });
  // Under the lease it was claimed with; a smaller one does not count, nor does one of a bundle that is gone.
  const end = async (task: Claimed | undefined, lease = 0) => {
    const held = { id: String(task?.id), lease: String(Number(task?.lease) + lease), worker: one };
    const verdictOf = await finishBundled(pool, names, [{ ...held, bundle: String(task?.bundle) }], [], 'first');
    return verdictOf(held.id);
  };
  expect(await end(first, -1)).toBe('late');
  expect(await end(first)).toBe('done');
  await markGone(pool, names, [one]);
  expect(await rescueBundles(pool, names)).toBe(4);
  expect(await end(tasks[1])).toBe('late');
  await takeOut(pool, names, [{ id: String(tasks[1]?.id), lease: '1', worker: one, bundle: String(tasks[1]?.bundle) }]);
  expect(await row(ids[1])).toEqual({
    state: 'ready',
    holder: null,
    lease: 2, // the claim, which wrote nothing, and the rescue
    attempts: 1,
    losses: 0,
    cancelled: false,
  });
  // Begun before: alone, and never in a bundle again.
  expect(await claimBundle(pool, names, other, { ...line, limit: 10 })).toMatchObject({ tasks: [], apart: 1 });
  // A version that knows of no bundles deletes the row of a worker that is gone: no task stays behind.
  await pool.query(`delete from ${names.worker} where id = $1`, [other]);
  expect((await pool.query(`select from ${names.bundle}`)).rowCount).toBe(0);
});

test('a worker that holds a bundle is killed: what had not begun is not counted as lost, and is claimed one by one', async () => {
  const { pool, full, worker, idle, allClosed, made, attempts, release } = await setup();
  const { child, ids } = await full(60);
  await child.kill();
  const before = await made();
  const other = await worker(60);
  await waitFor(async () => (await pool.query("select from slipway_queue.task where state = 'running'")).rowCount, {
    what: 'the other process to take them',
  });
  const { rows } = await pool.query(
    `select distinct losses, history->0->>'cause' as cause, history->0->>'message' like '%may not have begun' as honest from slipway_queue.task`,
  );
  expect(rows).toEqual([{ losses: 0, cause: 'lost', honest: true }]);
  await release();
  await idle();
  await allClosed();
  expect(await made()).toBe(before); // none of them was leased with others again
  const again = attempts().filter(({ task, pid }) => ids.includes(task) && pid === other.pid);
  expect(again.map(({ task }) => task).toSorted()).toEqual(ids.toSorted());
  expect(new Set(again.map(({ number }) => number))).toEqual(new Set([2]));
  expect(other.output()).not.toMatch(/"event":"(failed|late|dead)"/);
});

test('a task that takes its process down among a thousand others dies alone', { timeout: 120_000 }, async () => {
  const { queue, worker, add, idle, allClosed, attempts, made } = await setup();
  let child = await worker(60, 1);
  await add(2_000);
  await idle();
  expect(await made()).toBeGreaterThan(0);
  const ids = await add(1_001, (n) => (n === 500 ? 'die' : 'end'));
  // The first end takes a whole bundle along and is not counted; three more are.
  for (let ends = 0; ends < 4; ends++) {
    await child.exited;
    child = await worker(60, 1).catch(() => child);
  }
  await idle();
  await allClosed();
  const dead = await queue.dead({ limit: 10 });
  expect(dead).toHaveLength(1);
  expect(dead[0]).toMatchObject({ id: ids[500], cause: 'lost' });
  expect(dead[0]?.losses).toBe(3);
  const begun = new Set(attempts().map(({ task }) => task));
  expect(ids.filter((id) => !begun.has(id))).toEqual([]);
});

test('a worker that holds a bundle is frozen past its lease: its ends are late, and each task is done once', async () => {
  const { pool, full, worker, idle, allClosed, release, attempts } = await setup();
  const { child, ids } = await full(3);
  await pool.query(
    'select pg_sleep(greatest(0, 3.1 - extract(epoch from clock_timestamp() - pg_postmaster_start_time())))',
  );
  child.signal('SIGSTOP');
  const other = await worker(3);
  await other.waitForOutput(/ready/);
  await waitFor(
    () => ids.slice(0, 4).every((id) => attempts().some(({ task, pid }) => task === id && pid === other.pid)),
    {
      what: 'the other process to begin them',
      seconds: 20,
    },
  );
  child.signal('SIGCONT');
  await child.waitForOutput(/"event":"lease-lost"/);
  await release();
  await idle();
  await allClosed();
  await child.waitForOutput(/("event":"late"[^]*){4}/);
  // What had not begun when the lease was lost never begins under it.
  const stale = attempts().filter(
    ({ task, pid, number }) => pid === child.pid && ids.slice(4).includes(task) && number === 1,
  );
  expect(stale).toEqual([]);
  expect(other.output()).not.toMatch(/"event":"(late|failed|dead)"/);
});

test('stop gives back what has not begun, at once and as if nothing had been', async () => {
  const { pool, full, bundles, worker, release, idle, attempts } = await setup();
  const { child, ids } = await full(60);
  child.signal('SIGTERM');
  expect(await child.exited).toEqual({ code: 0, signal: null });
  expect(await bundles()).toEqual([]);
  const { rows } = await pool.query(
    `select attempts, interruptions, losses, count(*)::int as tasks from slipway_queue.task where state = 'ready' group by 1, 2, 3 order by 4`,
  );
  expect(rows).toEqual([
    { attempts: 1, interruptions: 1, losses: 0, tasks: 4 },
    { attempts: 0, interruptions: 0, losses: 0, tasks: 496 },
  ]);
  expect((await pool.query('select from slipway_queue.worker')).rowCount).toBe(0);
  await release();
  await worker(60);
  await idle();
  expect(attempts().filter(({ task }) => ids.slice(4).includes(task))).toHaveLength(496);
});

test('tasks of a bundle fail, snooze, report progress and are cancelled as any others', async () => {
  const { pool, queue: producer, bundles, idle, allClosed } = await setup();
  const events: QueueEvent[] = [];
  const queue = workHere(pool, (event) => void events.push(event), 3);
  const cancelled: string[] = [];
  const gate = Promise.withResolvers<void>();
  const seen: { id: string; n: number; number: number }[] = [];
  queue.work(
    short,
    async (payload, { taskId, number, signal, progress }) => {
      seen.push({ id: taskId, n: payload.n, number });
      // Ends before its progress can be written.
      if (payload.n === 10) progress({ half: 'way' });
      if (payload.n === 11) {
        progress({ half: 'way' });
        await gate.promise;
      }
      if (payload.n === 12) {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        cancelled.push(String(signal.reason));
        throw signal.reason;
      }
      await doShort(pool, payload, number);
    },
    { concurrency: 4 },
  );
  await queue.start();
  await producer.enqueueMany(
    short,
    Array.from({ length: 2_000 }, () => ({ payload: { n: 0 } })),
  );
  await idle();
  await allClosed();
  const does = ['fail once', 'snooze once'] as const;
  const ids = await producer.enqueueMany(
    short,
    Array.from({ length: 500 }, (_, n) => ({ payload: { n: n + 8, does: does[n] ?? 'end' } })),
  );
  const [failing, snoozing, quick, telling, doomed] = ids;
  await waitFor(() => seen.some(({ id }) => id === doomed), { what: 'the last of them to begin' });
  const named = (await bundles()).flatMap((bundle) => bundle.ids);
  expect(named).toContain(doomed);
  expect((await producer.task(String(doomed)))?.state).toBe('running');
  await waitFor(async () => (await producer.task(String(telling)))?.progress, { what: 'the progress' });
  expect(await producer.task(String(telling))).toMatchObject({ state: 'running', attempts: 1 });
  // All of them are seen as running or done, none as ready.
  await waitFor(async () => (await readSignals(pool, 'slipway_queue', 'short')).lanes.normal.running === 2, {
    what: 'two to be left',
  });
  expect(await readSignals(pool, 'slipway_queue', 'short')).toMatchObject({
    lanes: { normal: { ready: 0, running: 2, oldestSeconds: null } },
  });
  expect((await producer.counts())['short']).toMatchObject({ ready: 0, running: 2 });
  expect(await producer.backlog()).toMatchObject([{ kind: 'short', ready: 0, running: 2, oldestSeconds: null }]);
  expect(await producer.cancel(String(doomed))).toBe(true);
  await waitFor(() => cancelled.length === 1, { what: 'the cancelled task to be told' });
  gate.resolve();
  await idle();
  await allClosed();
  const of = (id: string | undefined) => seen.filter((one) => one.id === id).map(({ number }) => number);
  expect([failing, snoozing, quick, telling, doomed].map(of)).toEqual([[1, 2], [1, 2], [1], [1], [1]]);
  const about = (id: string | undefined) =>
    events.flatMap((event) => ('taskId' in event && event.taskId === id ? [event.event] : []));
  expect(about(failing)).toEqual(['retry', 'done']);
  expect(about(snoozing)).toEqual(['snoozed', 'done']);
  expect(about(quick)).toEqual(['done']);
  expect(about(telling)).toEqual(['done']);
  expect(events.filter(({ event }) => event === 'late' || event === 'failed' || event === 'dead')).toEqual([]);
});

test('a task of a bundle that is cancelled before it begins stays cancelled when the bundle is given back', async () => {
  const { pool, queue, full, idle, allClosed, release, worker } = await setup();
  const { child, ids } = await full(60);
  const last = String(ids.at(-1));
  expect(await queue.cancel(last)).toBe(true);
  await child.kill();
  await worker(60);
  await waitFor(async () => (await queue.task(last)) === null, { what: 'it to be gone' });
  await release();
  await idle();
  await allClosed();
  expect((await pool.query('select from slipway_queue.dead_task')).rowCount).toBe(0);
});

test(
  'PostgreSQL is restarted while bundles are worked on: nothing is lost, nothing is done twice',
  { timeout: 120_000 },
  async () => {
    const postgres = await ownPostgres();
    const pool = connectPool(postgres.url);
    onTestFinished(() => pool.end());
    const { worker, add, idle, allClosed, made, attempts, full, release } = await setup({ pool, url: postgres.url });
    const { child, ids } = await full(3);
    await postgres.stop();
    await postgres.start();
    await waitFor(release, { what: 'PostgreSQL to answer', seconds: 20 });
    await waitFor(idle, { what: 'all to be done', seconds: 60 });
    await allClosed();
    expect(await made()).toBeGreaterThan(0);
    expect(attempts().filter(({ task }) => ids.slice(4).includes(task))).toHaveLength(496);
    expect(child.output()).not.toMatch(/"event":"(late|dead|failed)"/);
    await worker(3);
    await add(10);
    await idle();
  },
);

test(
  'answers that get lost after the commit: bundles nobody knows of go back, and ends are told once',
  { timeout: 120_000 },
  async () => {
    const database = await testDatabase();
    const { pool, add, idle, allClosed, made } = await setup(database);
    const proxy = await PostgresProxy.before(database.url);
    const cutPool = connectPool(proxy.url);
    const events: QueueEvent[] = [];
    const queue = workHere(cutPool, (event) => void events.push(event), 2);
    onTestFinished(() => cutPool.end());
    const begun = new Map<string, number>();
    queue.work(short, async (_, { taskId }) => void begun.set(taskId, (begun.get(taskId) ?? 0) + 1), {
      concurrency: 4,
    });
    await queue.start();
    await add(2_000);
    await idle();
    proxy.loseAnswers(7);
    const ids: string[] = [];
    await waitFor(
      async () => {
        ids.push(...(await add(300)));
        return proxy.cuts > 12;
      },
      { what: 'many lost answers', seconds: 40 },
    ).finally(() => proxy.pass());
    await idle();
    await allClosed();
    expect(await made()).toBeGreaterThan(0);
    expect(ids.filter((id) => begun.get(id) !== 1)).toEqual([]);
    const told = events.flatMap((event) => (event.event === 'done' ? [event.taskId] : []));
    expect(new Set(told).size).toBe(told.length);
    expect(events.filter(({ event }) => event === 'failed' || event === 'dead' || event === 'late')).toEqual([]);
    expect((await pool.query('select from slipway_queue.bundle')).rowCount).toBe(0);
  },
);
