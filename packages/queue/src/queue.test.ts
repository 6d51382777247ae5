import { setImmediate as turn } from 'node:timers';
import { waitFor } from '@slipway/testing';
import { Client } from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { type Attempt, Discard, Queue, Snooze, taskKind } from './index.ts';
import { queuesUnderTest } from './queue-under-test.ts';

const note = taskKind({ name: 'note', payload: z.object({ text: z.string() }), retries: 2, backoff: () => 0 });

const gone = (queue: Queue) =>
  waitFor(
    async () =>
      Object.values(await queue.counts()).every(({ ready, running, scheduled }) => ready + running + scheduled === 0),
    {
      what: 'every task to be done',
    },
  );

test('hands a task to its handler, once, and forgets it', async () => {
  const { queue } = await queuesUnderTest();
  const seen: [string, Attempt][] = [];
  queue.work(note, async ({ text }, attempt) => void seen.push([text, attempt]));
  await queue.stop(); // before start: nothing happens
  await queue.start();
  const id = await queue.enqueue(note, { text: 'hello' });
  await gone(queue);
  expect(seen).toMatchObject([['hello', { taskId: id, number: 1, lease: '1' }]]);
  await Promise.all([queue.stop(), queue.stop()]);
});

test('picks up what another process enqueued within milliseconds, also after it was idle', async () => {
  const { queue, another } = await queuesUnderTest();
  const times: number[] = [];
  queue.work(note, async () => void times.push(performance.now()));
  await queue.start();
  const producer = another(); // never started: only enqueues
  const latencies: number[] = [];
  for (let n = 1; n <= 20; n++) {
    const begin = performance.now();
    await producer.enqueue(note, { text: 'x' });
    await waitFor(() => times.length === n, { what: 'the task to be handled' });
    latencies.push((times.at(-1) ?? 0) - begin);
  }
  latencies.sort((a, b) => a - b);
  expect(latencies[10]).toBeLessThan(100);
});

test('works on tasks that were there before its handler, and on those that came before its start', async () => {
  const { queue } = await queuesUnderTest();
  await queue.enqueue(note, { text: 'early' });
  await queue.start();
  const seen: string[] = [];
  queue.work(note, async ({ text }) => void seen.push(text));
  await waitFor(() => seen.length === 1, { what: 'the task to be handled' });
  expect(() => queue.work(note, async () => undefined)).toThrow(/has a handler already/);
});

test('a task exists exactly when the transaction that enqueued it commits', async () => {
  const { queue, pool } = await queuesUnderTest();
  const seen: string[] = [];
  queue.work(note, async ({ text }) => void seen.push(text));
  await queue.start();
  const client = await pool.connect();
  await client.query('begin');
  await queue.enqueue(note, { text: 'rolled back' }, { client });
  await client.query('rollback');
  await client.query('begin');
  await queue.enqueue(note, { text: 'committed' }, { client });
  expect((await queue.counts())['note']).toBeUndefined();
  await client.query('commit');
  client.release();
  await waitFor(() => seen.length > 0, { what: 'the committed task' });
  expect(seen).toEqual(['committed']);
});

test('refuses a payload that does not match, and buries one that was stored by somebody else', async () => {
  const { queue, pool, events } = await queuesUnderTest();
  await expect(queue.enqueue(note, JSON.parse('{"text":1}'))).rejects.toThrow(/expected string/);
  queue.work(note, async () => undefined);
  await queue.start();
  const id = await queue.enqueue(note, { text: 'soon broken' }, { delaySeconds: 3600 });
  await pool.query(`update slipway_queue.task set payload = '{"text": 7}', run_at = now() where id = $1`, [id]);
  await pool.query(`notify slipway_queue_task, 'scheduled 0'`);
  const [dead] = await waitFor(async () => nonEmpty(await queue.dead({ kind: 'note', limit: 10 })), {
    what: 'a dead letter',
  });
  expect(dead).toMatchObject({
    id,
    cause: 'invalid-payload',
    attempts: 1,
    failures: 0,
    error: expect.stringContaining('text'),
  });
  expect(events.filter(({ event }) => event === 'dead')).toHaveLength(1);
});

test('tries again after an error, then buries the task with its history, and redrives it', async () => {
  const { queue, events } = await queuesUnderTest();
  let fails = true;
  const seen: number[] = [];
  queue.work(note, async (_, attempt) => {
    seen.push(attempt.number);
    if (fails) throw new Error(`broken \0 ${attempt.number}`, { cause: new Error('the disk') });
  });
  await queue.start();
  const id = await queue.enqueue(note, { text: 'x' });
  const [dead] = await waitFor(async () => nonEmpty(await queue.dead({ limit: 10 })), { what: 'a dead letter' });
  expect(dead).toMatchObject({
    id,
    kind: 'note',
    payload: { text: 'x' },
    cause: 'retries-used',
    attempts: 3,
    failures: 2,
  });
  expect(dead?.error).toBe('broken  3: the disk');
  expect(dead?.history.map(({ attempt, cause, message }) => [attempt, cause, message])).toEqual([
    [1, 'error', 'broken  1: the disk'],
    [2, 'error', 'broken  2: the disk'],
    [3, 'error', 'broken  3: the disk'],
  ]);
  expect(events.map(({ event }) => event).filter((event) => event !== 'connected')).toEqual(['retry', 'retry', 'dead']);

  fails = false;
  expect(await queue.redrive(id)).toBe(true);
  expect(await queue.redrive(id)).toBe(false);
  await gone(queue);
  expect(seen).toEqual([1, 2, 3, 4]);
  expect(await queue.dead({ limit: 10 })).toEqual([]);
});

test('waits for the back-off between retries', async () => {
  const { queue, events } = await queuesUnderTest();
  const times: number[] = [];
  const slow = taskKind({ name: 'slow', payload: z.null(), retries: 1, backoff: (retry) => retry * 0.3 });
  queue.work(slow, async () => {
    times.push(performance.now());
    throw new Error('no');
  });
  await queue.start();
  await queue.enqueue(slow, null);
  await waitFor(async () => (await queue.dead({ limit: 1 })).length === 1, { what: 'the last retry' });
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(295);
  expect(events).toContainEqual(expect.objectContaining({ event: 'retry', inSeconds: 0.3, error: 'no' }));
});

test('a snoozed task uses no retry, a discarded one gets none', async () => {
  const { queue } = await queuesUnderTest();
  const attempts: number[] = [];
  queue.work(note, async (_, { number }) => {
    attempts.push(number);
    if (number <= 5) throw new Snooze(number === 1 ? 0.05 : 0);
    throw new Discard('pointless');
  });
  await queue.start();
  await queue.enqueue(note, { text: 'x' });
  const [dead] = await waitFor(async () => nonEmpty(await queue.dead({ limit: 1 })), { what: 'the discarded task' });
  expect(attempts).toEqual([1, 2, 3, 4, 5, 6]);
  expect(dead).toMatchObject({ cause: 'discarded', error: 'pointless', failures: 0, attempts: 6 });
});

test('a delayed task is not handled before its time, and at its time without being polled for', async () => {
  const { queue } = await queuesUnderTest();
  const times: number[] = [];
  queue.work(note, async () => void times.push(Date.now()));
  await queue.start();
  const runAt = Date.now() + 400;
  await queue.enqueue(note, { text: 'at' }, { runAt });
  await queue.enqueue(note, { text: 'in' }, { delaySeconds: 0.2 });
  expect((await queue.counts())['note']).toEqual({ scheduled: 2, blocked: 0, ready: 0, running: 0, dead: 0 });
  await waitFor(() => times.length === 2, { what: 'both tasks' });
  expect(times[1]).toBeGreaterThanOrEqual(runAt - 5);
  expect(times[1]).toBeLessThan(runAt + 1_000);
});

test('the more urgent task is first, then the older one', async () => {
  const { queue } = await queuesUnderTest();
  const seen: string[] = [];
  for (const [text, priority] of [
    ['c', 0],
    ['d', 0],
    ['e', 5],
    ['a', -2],
    ['b', -2],
  ] as const) {
    await queue.enqueue(note, { text }, { priority });
  }
  queue.work(note, async ({ text }) => void seen.push(text), { concurrency: 1 });
  await queue.start();
  await gone(queue);
  expect(seen.join('')).toBe('abcde');
});

test('runs no more tasks at once than it may', async () => {
  const { queue } = await queuesUnderTest();
  const full = Promise.withResolvers<void>();
  let now = 0;
  let most = 0;
  queue.work(
    note,
    async () => {
      most = Math.max(most, ++now);
      if (now === 3) full.resolve();
      await full.promise;
      await new Promise<void>((resolve) => turn(resolve));
      now -= 1;
    },
    { concurrency: 3 },
  );
  await queue.start();
  await Promise.all(Array.from({ length: 60 }, () => queue.enqueue(note, { text: 'x' })));
  await gone(queue);
  expect(most).toBe(3);
});

test('while a task waits under a unique name, it is found instead of adding another', async () => {
  const { queue } = await queuesUnderTest();
  const later = Date.now() + 3_600_000;
  const ids = await Promise.all(
    Array.from({ length: 20 }, (_, n) => queue.enqueue(note, { text: `${n}` }, { unique: 'only', runAt: later + n })),
  );
  expect(new Set(ids).size).toBe(1);
  const other = await queue.enqueue(note, { text: 'x' }, { unique: 'other', runAt: later });
  expect(other).not.toBe(ids[0]);

  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  let runs = 0;
  queue.work(note, async () => {
    runs += 1;
    started.resolve();
    await finish.promise;
  });
  await queue.start();
  // The earlier time wins, so that it runs now ...
  expect(await queue.enqueue(note, { text: 'now' }, { unique: 'only' })).toBe(ids[0]);
  await started.promise;
  // ... and once it runs, a successor may wait: what it has read may be old by now.
  const successors = await Promise.all(
    Array.from({ length: 20 }, () => queue.enqueue(note, { text: 'x' }, { unique: 'only', runAt: later })),
  );
  expect(new Set(successors).size).toBe(1);
  expect(successors[0]).not.toBe(ids[0]);
  finish.resolve();
  await waitFor(async () => (await queue.counts())['note']?.running === 0, { what: 'the first to be done' });
  expect(runs).toBe(1);
});

test('a task that goes back while a successor waits under its name does not collide with it', async () => {
  const { queue } = await queuesUnderTest();
  const started = Promise.withResolvers<void>();
  const fail = Promise.withResolvers<void>();
  const seen: string[] = [];
  queue.work(
    note,
    async ({ text }, { number }) => {
      seen.push(text);
      if (number > 1 || text !== 'first') return;
      started.resolve();
      await fail.promise;
      throw new Error('again');
    },
    { concurrency: 1 },
  );
  await queue.start();
  await queue.enqueue(note, { text: 'first' }, { unique: 'name' });
  await started.promise;
  await queue.enqueue(note, { text: 'second' }, { unique: 'name' });
  fail.resolve();
  await gone(queue);
  expect(seen.toSorted()).toEqual(['first', 'first', 'second']);
});

test('a task that waits for its retry is found under its unique name, and brought forward', async () => {
  const { queue } = await queuesUnderTest();
  const kind = taskKind({ name: 'reconcile', payload: z.null(), backoff: () => 3_600 });
  const attempts: number[] = [];
  queue.work(kind, async (_, { number }) => {
    attempts.push(number);
    if (number === 1) throw new Error('not yet');
  });
  await queue.start();
  const id = await queue.enqueue(kind, null, { unique: 'environment 1' });
  await waitFor(async () => (await queue.counts())['reconcile']?.scheduled === 1, { what: 'the back-off' });
  expect(await queue.enqueue(kind, null, { unique: 'environment 1' })).toBe(id);
  await gone(queue);
  expect(attempts).toEqual([1, 2]);
});

test('cancels a waiting task, and a running one by its signal', async () => {
  const { queue } = await queuesUnderTest();
  const waiting = await queue.enqueue(note, { text: 'waits' }, { delaySeconds: 3600 });
  expect(await queue.cancel(waiting)).toBe(true);
  expect(await queue.cancel(waiting)).toBe(false);

  const started = Promise.withResolvers<void>();
  const reasons: unknown[] = [];
  queue.work(note, async (_, { signal }) => {
    started.resolve();
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  await queue.start();
  const running = await queue.enqueue(note, { text: 'runs' });
  await started.promise;
  expect(await queue.cancel(running)).toBe(true);
  await gone(queue);
  expect(reasons).toEqual([]);
  expect(await queue.dead({ limit: 1 })).toEqual([]);
});

test('stop lets a short task finish, and gives a long one back without using up a retry', async () => {
  const { queue, another, pool } = await queuesUnderTest();
  const started = Promise.withResolvers<void>();
  const aborted: unknown[] = [];
  let running = 0;
  queue.work(note, async ({ text }, { signal }) => {
    if (++running === 3) started.resolve();
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    aborted.push(signal.reason);
    if (text === 'short') return;
    if (text === 'throws') throw new Error('interrupted');
    await new Promise(() => undefined); // never
  });
  await queue.start();
  for (const text of ['short', 'throws', 'long']) await queue.enqueue(note, { text });
  await started.promise;
  const begin = performance.now();
  await queue.stop({ graceSeconds: 0.3 });
  expect(performance.now() - begin).toBeLessThan(3_000);
  expect(aborted.map(String)).toEqual(Array.from({ length: 3 }, () => 'AbortError: the queue is stopping'));
  const { rows } = await pool.query(
    'select payload, state, attempts, failures, interruptions, losses from slipway_queue.task order by id',
  );
  const back = { state: 'ready', attempts: 1, failures: 0, interruptions: 1, losses: 0 };
  expect(rows).toEqual([
    { payload: { text: 'throws' }, ...back },
    { payload: { text: 'long' }, ...back },
  ]);
  expect((await pool.query('select from slipway_queue.worker')).rowCount).toBe(0);

  // Another process goes on at once.
  const next = another();
  const seen: number[] = [];
  next.work(note, async (_, { number }) => void seen.push(number));
  await next.start();
  await gone(next);
  expect(seen).toEqual([2, 2]);
});

test('a queue that was stopped can be started again', async () => {
  const { queue } = await queuesUnderTest();
  const seen: string[] = [];
  queue.work(note, async ({ text }) => void seen.push(text));
  await queue.start();
  await queue.stop();
  await queue.enqueue(note, { text: 'meanwhile' });
  await queue.start();
  await waitFor(() => seen.length === 1, { what: 'the task to be handled' });
});

test('an idle queue makes one statement per heartbeat and no other', async () => {
  const { queue } = await queuesUnderTest({ leaseSeconds: 1.5 });
  queue.work(note, async () => undefined);
  await queue.start();
  await queue.enqueue(note, { text: 'x' });
  await waitFor(async () => (await queue.tally())[0]?.done === 1, { what: 'the task to be done and counted' });
  const statements: string[] = [];
  const send = vi.spyOn(Client.prototype, 'query'); // every statement of this process, also those of the pool
  onTestFinished(() => send.mockRestore());
  const beats = () => statements.filter((text) => text.includes('heartbeat_at')).length;
  const look = () => {
    for (const [first] of send.mock.calls.splice(0)) statements.push(JSON.stringify(first));
    return beats() >= 3;
  };
  // What the last task left to do may still come; from the second heartbeat on nothing may.
  await waitFor(() => (look(), beats() >= 2), { what: 'the queue to be idle' });
  statements.length = 0;
  const begin = performance.now();
  await waitFor(look, { what: 'three heartbeats' });
  expect(statements).toHaveLength(3);
  expect(performance.now() - begin).toBeGreaterThan(1_000);
});

test('kinds whose names would break a notification are refused, and schemas that would need escaping', async () => {
  expect(() => taskKind({ name: 'two words', payload: z.null() })).toThrow(/can't name a kind/);
  const { pool } = await queuesUnderTest();
  expect(() => new Queue({ pool, schema: 'a"b' })).toThrow(/can't be the queue's schema/);
});

function nonEmpty<T>(list: T[]): T[] | null {
  return list.length > 0 ? list : null;
}
