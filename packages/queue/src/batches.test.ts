import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type BatchResult, Discard, taskKind } from './index.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import { housekeep } from './statements/housekeep.ts';
import { namesIn } from './statements/names.ts';

const part = taskKind({ name: 'part', payload: z.object({ n: z.number() }), retries: 0 });
const whole = taskKind({ name: 'whole', payload: z.object({ title: z.string() }), retries: 0 });

async function setup() {
  const { pool, url, events, queue, another } = await queuesUnderTest();
  const batches = async () => (await pool.query('select open from slipway_queue.batch')).rowCount;
  return { pool, url, events, queue, another, batches, housekeep: () => housekeep(pool, namesIn('slipway_queue')) };
}

const members = (count: number) => Array.from({ length: count }, (_, n) => ({ payload: { n } }));

async function all(results: AsyncIterable<BatchResult>): Promise<BatchResult[]> {
  const list: BatchResult[] = [];
  for await (const result of results) list.push(result);
  return list;
}

test('when the last member has ended, the closing task reads how all of them did', async () => {
  const { queue, batches, housekeep } = await setup();
  queue.work(part, async ({ n }) => {
    if (n === 1) throw new Discard('broken');
    return { square: n * n };
  });
  const closed = Promise.withResolvers<[string, BatchResult[]]>();
  queue.work(whole, async ({ title }, { batchId }) => {
    closed.resolve([title, await all(queue.batchResults(batchId ?? ''))]);
  });
  const { fanInId, taskIds, batchId } = await queue.enqueueBatch(part, members(4), {
    fanIn: { kind: whole, payload: { title: 'sum' } },
  });
  expect((await queue.counts())['whole']?.blocked).toBe(1);
  expect(await queue.cancel(taskIds[2] ?? '')).toBe(true);
  await queue.start();
  const [title, results] = await closed.promise;
  expect(title).toBe('sum');
  expect(results).toEqual([
    { taskId: taskIds[0], outcome: 'done', result: { square: 0 } },
    { taskId: taskIds[1], outcome: 'dead', result: null },
    { taskId: taskIds[2], outcome: 'cancelled', result: null },
    { taskId: taskIds[3], outcome: 'done', result: { square: 9 } },
  ]);
  await waitFor(async () => (await queue.counts())['whole'] === undefined, { what: `task ${fanInId} to be done` });
  // A redriven member counts no more.
  expect(await queue.redrive(taskIds[1] ?? '')).toBe(true);
  await waitFor(async () => (await queue.dead({ limit: 1 })).length === 1, { what: 'it to die again' });
  expect(await all(queue.batchResults(batchId))).toHaveLength(4);
  await housekeep();
  expect(await batches()).toBe(0);
});

test('an empty batch is closed at once', async () => {
  const { queue } = await setup();
  const seen: unknown[] = [];
  queue.work(whole, async (_, { batchId }) => void seen.push(await all(queue.batchResults(batchId ?? ''))));
  await queue.start();
  await queue.enqueueBatch(part, [], { fanIn: { kind: whole, payload: { title: 'nothing' } } });
  await waitFor(() => seen.length === 1, { what: 'the closing task' });
  expect(seen).toEqual([[]]);
});

test('a batch exists when its transaction commits, and not at all when a payload is wrong or a member has a unique name', async () => {
  const { queue, pool } = await setup();
  const fanIn = { kind: whole, payload: { title: 'x' } };
  const client = await pool.connect();
  await client.query('begin');
  await queue.enqueueBatch(part, members(3), { fanIn, client });
  await client.query('rollback');
  await client.query('begin');
  await queue.enqueueBatch(part, members(2), { fanIn, client });
  await client.query('commit');
  client.release();
  await expect(queue.enqueueBatch(part, [{ payload: JSON.parse('{"n":"1"}') }], { fanIn })).rejects.toThrow(/number/);
  const named = { payload: { n: 1 }, unique: 'one' };
  await expect(queue.enqueueBatch(part, [named], { fanIn })).rejects.toThrow(/has the unique name "one"/);
  expect(await queue.counts()).toMatchObject({ part: { ready: 2 }, whole: { blocked: 1 } });
});

test('a dead closing task finds the results when it is redriven, and after a cancelled one the batch goes away', async () => {
  const { queue, batches, housekeep } = await setup();
  let fails = true;
  const counts: number[] = [];
  queue.work(part, async ({ n }) => n);
  queue.work(whole, async (_, { batchId }) => {
    if (fails) throw new Discard('not yet');
    counts.push((await all(queue.batchResults(batchId ?? ''))).length);
  });
  await queue.start();
  const fanIn = { kind: whole, payload: { title: 'x' } };
  const { fanInId } = await queue.enqueueBatch(part, members(3), { fanIn });
  await waitFor(async () => (await queue.dead({ limit: 1 })).length === 1, { what: 'the closing task to die' });
  await housekeep();
  expect(await batches()).toBe(1);
  fails = false;
  await queue.redrive(fanInId);
  await waitFor(() => counts.length === 1, { what: 'the closing task' });
  expect(counts).toEqual([3]);

  await queue.stop();
  const next = await queue.enqueueBatch(part, members(3), { fanIn });
  expect(await queue.cancel(next.fanInId)).toBe(true);
  await housekeep();
  expect(await batches()).toBe(1); // its members still end
  await queue.start();
  await waitFor(async () => Object.values(await queue.counts()).every(({ ready, running }) => ready + running === 0), {
    what: 'the members to end',
  });
  await housekeep();
  expect(await batches()).toBe(0);
  expect(counts).toEqual([3]);
});

test('each of many batches is closed exactly once, whichever of several queues end its last members, and however', async () => {
  const { queue, another, events } = await setup();
  const queues = [queue, another(), another(), another()];
  const closings = new Map<string, number>();
  for (const one of queues) {
    one.work(
      part,
      async ({ n }) => {
        if (n % 3 === 0) throw new Discard('x');
      },
      { concurrency: 8 },
    );
    one.work(whole, async (_, { batchId, taskId }) => {
      const results = await all(one.batchResults(batchId ?? ''));
      closings.set(`${taskId} ${results.length}`, (closings.get(`${taskId} ${results.length}`) ?? 0) + 1);
    });
    await one.start();
  }
  const sizes = Array.from({ length: 60 }, (_, n) => n % 7);
  const added = await Promise.all(
    sizes.map((size) =>
      queue.enqueueBatch(part, members(size), { fanIn: { kind: whole, payload: { title: `${size}` } } }),
    ),
  );
  await Promise.all(added.flatMap(({ taskIds }) => taskIds.filter((_, n) => n === 4).map((id) => queue.cancel(id))));
  await waitFor(() => closings.size === 60, { what: 'every batch to be closed', seconds: 30 });
  expect(Object.fromEntries(closings)).toEqual(
    Object.fromEntries(added.map(({ fanInId, taskIds }) => [`${fanInId} ${taskIds.length}`, 1])),
  );
  expect(events.filter(({ event }) => event === 'failed' || event === 'late')).toEqual([]);
});
