import { testDatabase } from '@slipway/testing';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { connectPool, Queue, taskKind } from '../index.ts';
import { readSamples } from '../sizing/index.ts';
import { forgetQueue, readLanes, readSignals, setSizes, setSlots } from './index.ts';

const kind = taskKind({ name: 'shop/production/thumbnails', payload: z.object({}) });
const other = taskKind({ name: 'shop/production/mail', payload: z.object({}) });

async function setup() {
  const { url } = await testDatabase();
  const pool = connectPool(url, { onError: () => undefined });
  const queue = new Queue({ pool });
  await queue.migrate();
  return { url, pool, queue, schema: 'slipway_queue' };
}

test('what there is to do is told by lane: what waits, since when, what is due soon, what happened', async () => {
  const { pool, queue, schema } = await setup();
  await queue.enqueueMany(kind, [{ payload: {} }, { payload: {}, key: 'a' }, { payload: {}, lane: 'fallback' }]);
  await queue.enqueueMany(kind, [
    { payload: {}, delaySeconds: 1 },
    { payload: {}, delaySeconds: 500 },
  ]);
  await queue.enqueue(other, {});
  await queue.tally();
  const { at, dead, lanes } = await readSignals(pool, schema, kind.name);
  expect(Math.abs(at - Date.now() / 1000)).toBeLessThan(5);
  expect(dead).toBe(0);
  expect(lanes.normal).toMatchObject({ ready: 2, counted: 'all', scheduled: 2, dueSoon: 1, running: 0 });
  expect(lanes.normal.oldestSeconds).toBeGreaterThanOrEqual(0);
  expect((lanes.normal.nextDueAt ?? 0) - at).toBeLessThanOrEqual(1);
  expect(lanes.normal.tally).toMatchObject({ enqueued: 4, done: 0 });
  expect(lanes.fallback).toMatchObject({ ready: 1, nextDueAt: null });
  expect((await readSignals(pool, schema, 'nothing')).lanes.normal).toMatchObject({ ready: 0, oldestSeconds: null });
  await pool.end();
});

test('slots and sizes are kept by lane, and a change of slots is announced, once', async () => {
  const { url, pool, schema } = await setup();
  const listener = new Client({ connectionString: url });
  await listener.connect();
  await listener.query('listen slipway_queue_task');
  const heard: string[] = [];
  listener.on('notification', ({ payload = '' }) => heard.push(payload));
  const lane = { kind: kind.name, lane: 'normal' as const };
  expect(await setSlots(pool, schema, { ...lane, slots: 3 })).toBe('changed');
  expect(await setSlots(pool, schema, { ...lane, slots: 3 })).toBe('same');
  const size = { cpu: 1, memoryBytes: 2 ** 28, timeoutSeconds: 30 };
  await setSizes(pool, schema, kind.name, { normal: size, fallback: { ...size, cpu: 2 } });
  expect(await readLanes(pool, schema, [kind.name])).toEqual([
    { ...lane, slots: 3, size },
    { kind: kind.name, lane: 'fallback', slots: 0, size: { ...size, cpu: 2 } },
  ]);
  await setSizes(pool, schema, kind.name, null);
  expect((await readLanes(pool, schema, [kind.name])).map((one) => one.size)).toEqual([null, null]);
  await listener.query('select 1');
  expect(heard).toEqual([`slots ${kind.name} normal 3`]);
  await listener.end();
  await pool.end();
});

test('measured attempts come oldest first, and say how many are new', async () => {
  const { pool, schema } = await setup();
  await pool.query(
    `insert into slipway_queue.attempt_usage (kind, task_id, lane, ended, peak_bytes, cpu_seconds, wall_seconds, limit_bytes, limit_cpu, limit_seconds)
     select $1, n, 'normal', 'done', n * 1000, 0.1, 0.2, case when n <> 3 then 1e9 end, 1, 60 from generate_series(1, 5) as n`,
    [kind.name],
  );
  const all = await readSamples(pool, schema, kind.name, { after: null });
  expect(all.samples.map(({ peakBytes }) => peakBytes)).toEqual([1000, 2000, 4000, 5000]);
  expect(all.samples[0]).toMatchObject({ end: 'done', limits: { cpu: 1, memoryBytes: 1e9, timeoutSeconds: 60 } });
  expect(all.fresh).toBe(4);
  expect(await readSamples(pool, schema, kind.name, { after: all.newest, limit: 2 })).toMatchObject({ fresh: 0 });
  await pool.end();
});

test('a queue whose owner is gone is forgotten, and no other', async () => {
  const { pool, queue, schema } = await setup();
  await queue.enqueue(kind, {});
  await queue.enqueue(other, {});
  await setSlots(pool, schema, { kind: kind.name, lane: 'normal', slots: 1 });
  await forgetQueue(pool, schema, kind.name);
  expect((await readSignals(pool, schema, kind.name)).lanes.normal.ready).toBe(0);
  expect((await readSignals(pool, schema, other.name)).lanes.normal.ready).toBe(1);
  expect(await readLanes(pool, schema, [kind.name])).toEqual([]);
  await pool.end();
});
