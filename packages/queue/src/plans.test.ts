import { testDatabase } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { connectPool, Queue } from './index.ts';
import { claimFromKeys } from './statements/claim-keys.ts';
import { settings } from './prepared.ts';
import { finishBundled, takeOut } from './statements/bundle.ts';
import { claimBundle, claimFromLines } from './statements/claim-line.ts';
import { countBacklog } from './statements/backlog.ts';
import { finishTasks } from './statements/finish.ts';
import { type Database, namesIn } from './statements/names.ts';

/**
 * Plans that PostgreSQL chose wrongly once, each of which made the queue ten to a hundred times slower. Autovacuum is off
 * here, so that the statistics are as wrong as they are in the second after a bulk insert.
 */

const names = namesIn('slipway_queue');
const worker = '00000000-0000-4000-8000-000000000001';
const many = 20_000;

async function setup(): Promise<Pool> {
  const { pool } = await testDatabase({
    name: 'queue-plans',
    prepare: async (template) => {
      const templatePool = connectPool(template);
      await new Queue({ pool: templatePool }).migrate();
      await templatePool.query(`alter table ${names.task} set (autovacuum_enabled = false)`);
      await templatePool.query(`insert into ${names.worker} (id) values ($1)`, [worker]);
      await templatePool.end();
    },
  });
  return pool;
}

/** As a bulk load does it: nobody has analysed the table since. */
async function insert(pool: Pool, count: number, state: 'ready' | 'running', keys: 'none' | 'own'): Promise<void> {
  await pool.query(
    `insert into ${names.task} (kind, payload, state, run_at, key, worker_id, lease, losses_allowed)
     select 'note', '{}', $2, now(), case when $3 = 'own' then 'key ' || n end, case when $2 = 'running' then $4::uuid end, 1, 3
     from generate_series(1, $1) as n`,
    [count, state, keys, worker],
  );
}

/** Runs statements and tells what PostgreSQL read for them: what it would read with the plans that it chose. */
function explaining(pool: Pool): { db: Database; read: () => { rows: number; whole: string[] } } {
  let rows = 0;
  const whole: string[] = [];
  const visit = (node: Record<string, unknown>): void => {
    const loops = Number(node['Actual Loops']);
    if ('Relation Name' in node || 'Index Name' in node) {
      rows += (Number(node['Actual Rows']) + Number(node['Rows Removed by Filter'] ?? 0)) * loops;
      if (node['Node Type'] === 'Seq Scan') whole.push(String(node['Relation Name']));
    }
    for (const child of Array.isArray(node['Plans']) ? (node['Plans'] as Record<string, unknown>[]) : []) visit(child);
  };
  const db: Database = {
    query: async (text, values) => {
      const { rows: plan } = await pool.query<{ 'QUERY PLAN': { Plan: Record<string, unknown> }[] }>(
        `explain (analyze, format json) ${text}`,
        values,
      );
      for (const { Plan } of plan[0]?.['QUERY PLAN'] ?? []) visit(Plan);
      return { rows: [], rowCount: 0 };
    },
  };
  return { db, read: () => ({ rows, whole }) };
}

test.each([
  ['never', 'none'],
  ['never', 'own'],
  ['when nothing was ready', 'none'],
  ['when nothing was ready', 'own'],
] as const)('a claim after a bulk insert reads only what it takes (analysed %s, keys: %s)', async (analysed, keys) => {
  const pool = await setup();
  if (analysed !== 'never') {
    await insert(pool, 50, 'running', 'none');
    await pool.query(`analyze ${names.task}`);
  }
  await insert(pool, many, 'ready', keys);
  const { db, read } = explaining(pool);
  const line = { kind: 'note', lane: 'normal', limit: 20 } as const;
  if (keys === 'none') {
    await claimFromLines(db, names, worker, [{ ...line, priority: 0, position: 0, upToPriority: 0 }]);
  } else {
    const look = { what: 'walk', after: '', until: null, count: 28 } as const;
    await claimFromKeys(db, names, worker, { ...line, keyConcurrency: 1, keyRate: null, look });
  }
  expect(read().rows).toBeLessThan(20 * 60);
  expect(read().whole.filter((table) => table === 'task')).toEqual([]);
});

test('finished tasks are found by their ids, whatever else runs and however old the statistics are', async () => {
  const pool = await setup();
  // When it was analysed nothing ran, so that the index of running tasks seems to be empty.
  await insert(pool, many, 'ready', 'none');
  await pool.query(`analyze ${names.task}`);
  await insert(pool, many, 'running', 'none');
  const { rows } = await pool.query<{ id: string }>(
    `select id from ${names.task} where state = 'running' order by id limit 20`,
  );
  const { db, read } = explaining(pool);
  await finishTasks(
    db,
    names,
    rows.map(({ id }) => ({ id, lease: '1', worker, result: null, output: null, effects: 'none' as const })),
    'first',
  );
  expect(read().rows).toBeLessThan(20 * 20);
  expect(read().whole.filter((table) => table === 'task')).toEqual([]);
});

test(
  'with a million tasks waiting, a claim and the backlog read what they need, and more than 10,000 are estimated',
  { timeout: 120_000 },
  async () => {
    const pool = await setup();
    await insert(pool, 1_000_000, 'ready', 'none');
    await pool.query(`analyze ${names.task}`);
    const { db, read } = explaining(pool);
    await claimFromLines(db, names, worker, [
      { kind: 'note', lane: 'normal', limit: 20, priority: 0, position: 0, upToPriority: 0 },
    ]);
    expect(read().rows).toBeLessThan(20 * 60);
    const counting = explaining(pool);
    await countBacklog(counting.db, names, { kind: null, soonSeconds: 60 });
    expect(counting.read().rows).toBeLessThan(30_000);
    const queue = new Queue({ pool });
    const times: number[] = [];
    for (let n = 0; n < 5; n++) {
      const begin = performance.now();
      const [backlog] = await queue.backlog();
      times.push(performance.now() - begin);
      expect(backlog).toMatchObject({ kind: 'note', lane: 'normal', running: 20, counted: 'estimated' });
      expect(backlog?.ready).toBeGreaterThan(900_000);
      expect(backlog?.ready).toBeLessThan(1_100_000);
    }
    console.log(`backlog of a million tasks: ${times.toSorted((a, b) => a - b)[2]?.toFixed(0)} ms`);
  },
);

test.each(['none', 'own'] as const)(
  "what decides about scaling reads nothing of other kinds' tasks, on a connection like any other (keys: %s)",
  async (keys) => {
    const pool = await setup();
    await insert(pool, 200_000, 'ready', keys);
    await pool.query(`update ${names.task} set kind = 'other' where id > 1000`);
    await pool.query(`vacuum analyze ${names.task}`);
    const { db, read } = explaining(pool);
    await countBacklog(db, names, { kind: 'note', soonSeconds: 2 });
    expect(read().whole.filter((table) => table === 'task')).toEqual([]);
    expect(read().rows).toBeLessThan(3_000);
  },
);

/** On a connection with the settings of the queue's own: the pages that each statement read, those within functions as well. */
async function paging(pool: Pool): Promise<{ db: Database; pages: () => Promise<number> }> {
  const client = await pool.connect();
  onTestFinished(() => client.release(true));
  await client.query(settings(60_000));
  let read = 0;
  const db: Database = {
    query: async (text, values) => {
      const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Record<string, unknown> }[] }>(
        `explain (analyze, buffers, format json) ${text}`,
        values,
      );
      const plan = rows[0]?.['QUERY PLAN'][0]?.Plan ?? {};
      read = Number(plan['Shared Hit Blocks']) + Number(plan['Shared Read Blocks']);
      return { rows: [], rowCount: 0 };
    },
  };
  return { db, pages: async () => read };
}

test(
  'claims and ends of bundles read only what they take, whatever died before them while a transaction keeps it',
  { timeout: 120_000 },
  async () => {
    const pool = await setup();
    const holder = await pool.connect();
    onTestFinished(() => holder.release(true));
    await holder.query('begin isolation level repeatable read');
    await holder.query('select 1');
    // Never analysed since. 200,000 tasks and 5,000 bundles that are done, and kept for the holder; then 20,000 that wait.
    await insert(pool, 200_000, 'ready', 'none');
    await pool.query(`delete from ${names.task}`);
    await pool.query(
      `insert into ${names.bundle} (worker_id, kind, lane, task_ids)
       select $1, 'note', 'normal', array(select n + m from generate_series(1, 1000) as m) from generate_series(1, 5000) as n`,
      [worker],
    );
    await pool.query(`delete from ${names.bundle}`);
    await insert(pool, many, 'ready', 'none');
    const line = { kind: 'note', lane: 'normal', priority: 0, upToPriority: 0 } as const;
    // Where a process is that has claimed since the beginning.
    const { rows } = await pool.query<{ position: string; bundle: string }>(
      `select (select min(position) from ${names.task}) as position, (select last_value from slipway_queue.bundle_id_seq) as bundle`,
    );
    const position = Number(rows[0]?.position);
    const oldestBundle = Number(rows[0]?.bundle);
    const bundles: Awaited<ReturnType<typeof claimBundle>>[] = [];
    for (let n = 0; n < 5; n++)
      bundles.push(await claimBundle(pool, names, worker, { ...line, position, limit: 1_000, oldestBundle }));
    expect(bundles.map(({ tasks }) => tasks.length)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000]);

    const { db, pages } = await paging(pool);
    const from = { ...line, position, oldestBundle };
    await claimBundle(db, names, worker, { ...from, limit: 1_000 });
    const bundle = await pages();
    await claimFromLines(db, names, worker, [{ ...from, limit: 20 }]);
    const singly = await pages();
    await claimFromLines(db, names, worker, [{ ...from, limit: 20, oldestBundle: 0 }]);
    const unknowing = await pages();
    const ended = (bundles[0]?.tasks ?? []).map(({ id, lease }) => ({
      id,
      lease,
      worker,
      bundle: bundles[0]?.tasks[0]?.bundle ?? '',
    }));
    await takeOut(db, names, ended.slice(0, 20));
    const out = await pages();
    await finishBundled(db, names, ended.slice(20), [], 'first');
    const finish = await pages();
    console.log(
      `pages: claim of 1,000 in a bundle ${bundle}, of 20 singly ${singly} (by one who never claimed a bundle: ${unknowing}), 20 taken out ${out}, end of 980 ${finish}`,
    );
    // They look at the 5,000 that are leased, which lie together, and at none of the dead.
    expect(bundle).toBeLessThan(1_000);
    expect(singly).toBeLessThan(1_000);
    expect(out).toBeLessThan(1_000);
    expect(finish).toBeLessThan(980 * 12);
  },
);
