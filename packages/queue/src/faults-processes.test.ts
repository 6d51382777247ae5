import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startProcess, testDatabase, waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Queue } from './index.ts';
import { hold, record } from './worker-under-test.ts';

/** Processes that are killed again and again under load, and one whose clock is wrong. */

async function setup() {
  const { pool, url } = await testDatabase();
  const queue = new Queue({ pool });
  await queue.migrate();
  await pool.query('create table release (name text)');
  await pool.query(
    'create table record (task bigint, name text, attempt int, pid int, began_at timestamptz default clock_timestamp(), ended_at timestamptz)',
  );
  const worker = async (leaseSeconds: number, clock: 'right' | 'an hour ahead' = 'right') => {
    const program = path.join(import.meta.dirname, 'worker-under-test.ts');
    const preload = ['--import', path.join(import.meta.dirname, 'shifted-clock-under-test.ts')];
    const child = startProcess(process.execPath, [
      ...(clock === 'right' ? [] : preload),
      program,
      url,
      String(leaseSeconds),
    ]);
    await child.waitForOutput(/^ready$/m);
    return child;
  };
  return { pool, queue, worker };
}

test('workers killed every second under load: tasks in are tasks done and dead', { timeout: 180_000 }, async () => {
  const { pool, queue, worker } = await setup();
  const count = 3_000;
  const workers = [await worker(5), await worker(5)];
  const kills = 4;
  for (let kill = 0; kill < kills; kill++) {
    await queue.enqueueMany(
      record,
      Array.from({ length: count / kills }, () => ({ payload: { name: 'x' } })),
    );
    await pause(1_000); // the pace of the kills
    await workers.shift()?.kill();
    workers.push(await worker(5));
  }
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
    what: 'every task to be done or dead',
    seconds: 60,
  });
  const { rows } = await pool.query<{ done: number }>(
    'select count(distinct task)::int as done from record where ended_at is not null',
  );
  const dead = await queue.dead({ limit: count });
  const notDone = new Set(dead.map(({ id }) => id));
  const { rows: ran } = await pool.query<{ task: string }>(
    'select distinct task from record where ended_at is not null',
  );
  for (const { task } of ran) notDone.delete(task); // was lost after its work, as often as its kind allows
  expect((rows[0]?.done ?? 0) + notDone.size).toBe(count);
});

test('a worker whose clock is an hour ahead takes nothing from others, and delays last as long as they should', async () => {
  const { pool, queue, worker } = await setup();
  const right = await worker(1);
  await queue.enqueue(hold, { name: 'x' });
  await right.waitForOutput(/holds x attempt 1/);
  const ahead = await worker(1, 'an hour ahead');
  await right.kill();
  // The right one is gone for sure; the wrong one takes its task, and keeps it beside another right one.
  await ahead.waitForOutput(/holds x attempt 2/);
  const other = await worker(1);
  await queue.enqueue(record, { name: 'soon' }, { delaySeconds: 2 });
  await queue.enqueue(record, { name: 'later' }, { delaySeconds: 600 });
  // Its record is there before its end is written.
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 2, { what: 'the delay' });
  const { rows } = await pool.query('select kind, state, attempts, losses from slipway_queue.task order by id');
  expect(rows).toEqual([
    { kind: 'hold', state: 'running', attempts: 2, losses: 1 },
    { kind: 'record', state: 'scheduled', attempts: 0, losses: 0 },
  ]);
  expect(ahead.output() + other.output()).not.toMatch(/lease-lost|"late"/);
});
