import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { Discard, type Queue, taskKind } from './index.ts';
import { OwnConnections } from './prepared.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import { namesIn } from './statements/names.ts';
import { writeProgress } from './statements/progress.ts';

const note = taskKind({ name: 'note', payload: z.object({ n: z.number() }), retries: 0 });
const kept = taskKind({ name: 'kept', payload: z.object({ n: z.number() }), retries: 0, keepSeconds: 60 });

test('tells what is known of a task in each of its states', async () => {
  const { queue } = await queuesUnderTest();
  const finish = Promise.withResolvers<void>();
  queue.work(kept, async ({ n }, attempt) => {
    if (n === 2) throw new Discard('broken');
    attempt.output({ 'a.png': 3 });
    await finish.promise;
    return { n };
  });
  const id = await queue.enqueue(kept, { n: 1 }, { key: 'k', priority: 3 });
  expect(await queue.task(id)).toMatchObject({
    id,
    kind: 'kept',
    state: 'ready',
    payload: { n: 1 },
    key: 'k',
    priority: 3,
    attempts: 0,
  });
  const later = await queue.enqueue(kept, { n: 1 }, { delaySeconds: 3_600 });
  expect(await queue.task(later)).toMatchObject({ state: 'scheduled' });
  expect((await queue.task(later))?.runAt?.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
  await queue.start();
  await waitFor(async () => (await queue.task(id))?.state === 'running', { what: 'the task to run' });
  finish.resolve();
  await waitFor(async () => (await queue.task(id))?.state === 'done', { what: 'the task to be done' });
  expect(await queue.task(id)).toMatchObject({ result: { n: 1 }, output: { 'a.png': 3 }, attempts: 1, key: 'k' });
  const broken = await queue.enqueue(kept, { n: 2 });
  await waitFor(async () => (await queue.task(broken))?.state === 'dead', { what: 'the task to die' });
  expect(await queue.task(broken)).toMatchObject({
    cause: 'discarded',
    error: 'broken',
    history: [{ cause: 'error', attempt: 1 }],
  });
  expect(await queue.task('999999')).toBeNull();
});

test('lists tasks in pages, whatever table they are in, each once', async () => {
  const { queue, pool } = await queuesUnderTest();
  await queue.enqueueMany(
    note,
    Array.from({ length: 25 }, (_, n) => ({ payload: { n } })),
  );
  const dead = await queue.enqueue(note, { n: 99 });
  await queue.enqueueMany(
    kept,
    Array.from({ length: 12_000 }, (_, n) => ({ payload: { n } })),
  );
  const last = await queue.enqueue(note, { n: 100 });
  await pool.query(
    `with gone as (delete from slipway_queue.task where id = $1 returning *)
     insert into slipway_queue.dead_task (id, kind, payload, priority, lease, attempts, failures, interruptions, losses, losses_allowed, history, created_at, cause, error)
     select id, kind, payload, 0, 1, 1, 0, 0, 0, 3, '[]', created_at, 'discarded', 'x' from gone`,
    [dead],
  );
  const all = async (filter: { kind?: string; state?: 'ready' | 'dead' }, limit: number) => {
    const ids: string[] = [];
    for (let after: string | null = '0'; after !== null;) {
      const page: Awaited<ReturnType<Queue['list']>> = await queue.list({ ...filter, limit, after });
      expect(page.tasks.length).toBeLessThanOrEqual(limit);
      ids.push(...page.tasks.map(({ id }) => id));
      after = page.next;
    }
    return ids;
  };
  const notes = await all({ kind: 'note' }, 10);
  expect(notes).toHaveLength(27);
  expect(new Set(notes).size).toBe(27);
  expect(notes.slice(-2)).toEqual([dead, last]);
  expect(await all({ kind: 'note', state: 'ready' }, 10)).toHaveLength(26);
  expect(await all({ state: 'dead' }, 10)).toEqual([dead]);
  expect(await all({}, 5_000)).toHaveLength(12_027);
});

test('makes all dead tasks of a kind or cause ready again, the oldest first', async () => {
  const { queue } = await queuesUnderTest();
  queue.work(note, async () => {
    throw new Discard('x');
  });
  await queue.start();
  await queue.enqueueMany(
    note,
    Array.from({ length: 5 }, (_, n) => ({ payload: { n } })),
  );
  await waitFor(async () => (await queue.dead({ limit: 10 })).length === 5, { what: 'five dead tasks' });
  await queue.stop();
  expect(await queue.redriveAll({ kind: 'other', limit: 10 })).toBe(0);
  expect(await queue.redriveAll({ cause: 'lost', limit: 10 })).toBe(0);
  expect(await queue.redriveAll({ kind: 'note', cause: 'discarded', limit: 3 })).toBe(3);
  expect(await queue.redriveAll({ limit: 10 })).toBe(2);
  expect((await queue.list({ state: 'ready', limit: 10 })).tasks).toHaveLength(5);
});

test('tells the backlog by kind and lane', async () => {
  const { queue } = await queuesUnderTest();
  await queue.enqueueMany(
    note,
    [1, 2, 3].map((n) => ({ payload: { n } })),
  );
  await queue.enqueue(note, { n: 4 }, { key: 'k' });
  await queue.enqueue(note, { n: 5 }, { delaySeconds: 30 });
  await queue.enqueue(note, { n: 6 }, { delaySeconds: 300 });
  await queue.enqueue(kept, { n: 7 }, { lane: 'fallback' });
  const counted = 'exactly';
  const age = expect.any(Number);
  expect(await queue.backlog()).toEqual([
    { kind: 'kept', lane: 'fallback', ready: 1, dueSoon: 0, running: 0, oldestSeconds: age, counted },
    { kind: 'note', lane: 'normal', ready: 4, dueSoon: 1, running: 0, oldestSeconds: age, counted },
  ]);
  expect(await queue.backlog({ kind: 'kept' })).toHaveLength(1);
  expect((await queue.backlog({ kind: 'note', soonSeconds: 600 }))[0]?.dueSoon).toBe(2);
});

test('progress is the last word, written at most once a second, and only under the lease of the attempt', async () => {
  const { queue, pool } = await queuesUnderTest();
  const finish = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  queue.work(note, async (_, attempt) => {
    for (let n = 0; n <= 100; n++) attempt.progress({ percent: n });
    told.resolve();
    await finish.promise;
  });
  await queue.start();
  const writes = vi.spyOn(OwnConnections.prototype, 'query');
  onTestFinished(() => writes.mockRestore());
  const id = await queue.enqueue(note, { n: 1 });
  await told.promise;
  await waitFor(async () => (await queue.task(id))?.progress !== null, { what: 'the progress' });
  expect((await queue.task(id))?.progress).toEqual({ percent: 100 });
  expect(writes.mock.calls.filter(([text]) => text.includes('set progress'))).toHaveLength(1);
  await writeProgress(pool, namesIn('slipway_queue'), [{ id, lease: '0', value: 'late' }]);
  expect((await queue.task(id))?.progress).toEqual({ percent: 100 });
  finish.resolve();
});
