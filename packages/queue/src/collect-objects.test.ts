import { utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Discard, Queue, taskKind, z } from './index.ts';
import { folderStore, ObjectRefused, ObjectStoreForeign, OWNER } from './objects/index.ts';
import { queuesUnderTest } from './queue-under-test.ts';

const day = 86_400;
const render = taskKind({ name: 'render', payload: z.unknown(), retries: 0 });
const kept = taskKind({ name: 'kept', payload: z.unknown(), retries: 0, keepSeconds: 3_600 });
const large = 'x'.repeat(70_000);

async function setup() {
  const folder = path.join(await temporaryFolder(), 'objects');
  const store = folderStore(folder);
  const { pool, queue } = await queuesUnderTest({ objects: store });
  const keys = async () =>
    (await Array.fromAsync(store.list('')))
      .map(({ key }) => key)
      .filter((key) => key !== OWNER)
      .toSorted();
  const own = queue.own(store);
  return {
    store,
    pool,
    queue,
    folder,
    keys,
    put: async (...names: string[]) => {
      for (const name of names) await own.put(name, Buffer.from('12345'));
    },
    /** Makes all objects that old. */
    age: async (seconds: number) => {
      const then = new Date(Date.now() - seconds * 1_000);
      for (const key of await keys()) await utimes(path.join(folder, key), then, then);
    },
    payloadKey: async (taskId: string) => {
      const stored = (await queue.task(taskId))?.payload as { $object: string };
      expect(stored.$object).toMatch(/^payload\//);
      return stored.$object;
    },
  };
}

const withFiles = (payload: unknown, ...keys: string[]) => ({
  $files: keys.map((key) => ({ name: 'file', key })),
  payload,
});

test('an old object that no task names goes; a young one stays until it is old', async () => {
  const { queue, put, age, keys } = await setup();
  const orphans = ['input/a/old.csv', 'output/1/1-1/old.png', `payload/2026-01-01T00/${'0'.repeat(64)}`];
  await put(...orphans);
  await age(day - 60);
  expect(await queue.collectObjects()).toEqual({ objects: 0, bytes: 0, unfinished: 0 });
  expect(await keys()).toEqual(orphans);
  await age(day + 60);
  await put('input/b/young.csv');
  expect(await queue.collectObjects()).toEqual({ objects: 3, bytes: 15, unfinished: 0 });
  expect(await keys()).toEqual(['input/b/young.csv']);
  await age(3 * 3_600);
  expect(await queue.collectObjects({ olderThanSeconds: 7_200 })).toMatchObject({ objects: 1 });
  await expect(queue.collectObjects({ olderThanSeconds: 7_199 })).rejects.toThrow(ObjectRefused);
});

test('what waiting, running, dead and kept tasks name stays, and goes when they are gone', async () => {
  const { queue, put, age, keys, payloadKey, pool } = await setup();
  await put('input/waiting', 'input/running', 'input/dead', 'input/tick', 'input/none', 'output/90/1-1/chained');
  await put('output/91/1-1/kept.png', 'output/91/1-1/left.png');
  const finish = Promise.withResolvers<void>();
  queue.work(render, async (payload) => {
    const { payload: what } = payload as { payload: string };
    if (what.startsWith('dead')) throw new Discard('broken');
    await finish.promise;
  });
  queue.work(kept, async (_payload, attempt) => {
    attempt.output({ files: [{ name: 'kept.png', key: 'output/91/1-1/kept.png' }] });
  });
  const running = await queue.enqueue(render, withFiles(`running ${large}`, 'input/running'));
  const dead = await queue.enqueue(render, withFiles(`dead ${large}`, 'input/dead'));
  const waiting = await queue.enqueue(render, withFiles('waiting', 'input/waiting'), { delaySeconds: 5_000 });
  const chained = await queue.enqueue(render, { from: ['output/90/1-1/chained'], large }, { delaySeconds: 5_000 });
  const done = await queue.enqueue(kept, null);
  const tick = { name: 'tick', schedule: '0 3 1 1 *', kind: render, payload: withFiles('tick', 'input/tick') };
  await queue.cron(tick);
  await queue.start();
  const is = async (id: string, state: string) =>
    await waitFor(async () => (await queue.task(id))?.state === state, { what: `task ${id} to be ${state}` });
  await Promise.all([is(running, 'running'), is(dead, 'dead'), is(done, 'done')]);
  // What an attempt has uploaded that goes on.
  await put(`output/${running}/1-1/part.png`);
  await age(day + 60);
  const payloads = {
    running: await payloadKey(running),
    dead: await payloadKey(dead),
    chained: await payloadKey(chained),
  };

  expect(await queue.collectObjects()).toMatchObject({ objects: 2, bytes: 10 });
  const left = await keys();
  const named = [
    'input/waiting',
    'input/running',
    'input/dead',
    'input/tick',
    'output/90/1-1/chained',
    'output/91/1-1/kept.png',
    `output/${running}/1-1/part.png`,
    ...Object.values(payloads),
  ];
  expect(left).toEqual(named.toSorted());

  finish.resolve();
  await waitFor(async () => (await queue.task(running)) === null, { what: 'the running task to end' });
  for (const id of [waiting, chained]) expect(await queue.cancel(id)).toBe(true);
  await queue.uncron('tick');
  await pool.query('delete from slipway_queue.done_task');
  await queue.collectObjects();
  expect(await keys()).toEqual(['input/dead', payloads.dead].toSorted());
  // Dead tasks keep what they need for as long as they can be tried again.
  expect(await queue.redrive(dead)).toBe(true);
});

test('keys are found whatever the text around them, and what only looks like one does no harm', async () => {
  const { queue, put, age, keys, folder, payloadKey } = await setup();
  const odd = ['input/a/größe "1".png', 'input/b/tab.png', 'input/c/plain.png', 'input/d/large ü.png'];
  await put(...odd, 'input/e/orphan');
  await queue.enqueue(render, {
    text: `she said "input/x", then \\`,
    more: [`"input/b/tab.png"`, odd[0], 'payload/../../etc', 'input/', odd[2]],
    [odd[1] ?? '']: '\u0000\ud800',
  });
  const id = await queue.enqueue(render, withFiles(`"${large}\\`, odd[3] ?? ''));
  const damaged = await queue.enqueue(render, withFiles(`damaged ${large}`, 'input/f'));
  await put('input/f');
  // The end is lost: the task can't run as it is, but its files are not for this to judge.
  await writeFile(path.join(folder, await payloadKey(damaged)), '{"$files":[{"name":"file","key":"input/f"}],"pay');
  await age(day + 60);
  expect(await queue.collectObjects()).toMatchObject({ objects: 1 });
  expect(await keys()).toEqual([...odd, 'input/f', await payloadKey(id), await payloadKey(damaged)].toSorted());
});

test('without an object store there is nothing to collect from, and that is told', async () => {
  const { pool } = await setup();
  await expect(new Queue({ pool }).collectObjects()).rejects.toThrow("Open it with 'objects'");
});

test('a queue stores nothing in the store of another one, and deletes nothing there', async () => {
  const { queue, store, put, age, keys } = await setup();
  await put('input/a', 'output/1/1-1/orphan');
  const { pool: otherPool } = await testDatabase();
  const other = new Queue({ pool: otherPool, objects: store });
  await other.migrate();
  const refused = /is marked as that of the queue [0-9a-f-]{36}, and this queue is .*Give each queue a bucket/s;
  await expect(other.enqueue(render, large)).rejects.toThrow(refused);
  await expect(other.enqueue(render, large)).rejects.toThrow(ObjectStoreForeign);
  await expect(other.own(store).put('input/b', Buffer.from('x'))).rejects.toThrow(refused);
  expect(await other.enqueue(render, 'small')).toMatch(/\d/);
  expect(await keys()).toEqual(['input/a', 'output/1/1-1/orphan']);
  await age(2 * day);
  await expect(other.collectObjects()).rejects.toThrow(refused);
  expect(await keys()).toHaveLength(2);
  expect(await queue.collectObjects()).toMatchObject({ objects: 2 });

  // As the message says.
  await store.delete([OWNER]);
  await other.enqueue(render, large);
  await expect(queue.enqueue(render, large)).rejects.toThrow(ObjectStoreForeign);
  await put('input/c'); // this one looked before, and is not deceived when it deletes
  await age(2 * day);
  await expect(queue.collectObjects()).rejects.toThrow(ObjectStoreForeign);
  expect(await keys()).toHaveLength(2);
});

test('nothing is deleted from a store without a mark; a new one is fine', async () => {
  const { queue, store, keys, pool, folder } = await setup();
  expect(await queue.collectObjects()).toEqual({ objects: 0, bytes: 0, unfinished: 0 });
  expect(await keys()).toEqual([]);
  await store.put('input/a', Buffer.from('x'));
  const then = new Date(Date.now() - 2 * day * 1_000);
  await utimes(path.join(folder, 'input/a'), then, then);
  const { rows } = await pool.query<{ id: string }>('select id from slipway_queue.identity');
  const [said = ''] = await queue.collectObjects().then(
    () => [],
    (error: unknown) => [String(error)],
  );
  expect(said).toMatch(/has objects and no mark whose they are.*Nothing was stored or deleted/s);
  expect(await keys()).toEqual(['input/a']);
  const text = /put the text (\{.*\}) under the key (\S+)\./.exec(said);
  expect(text?.[1]).toBe(JSON.stringify({ queue: rows[0]?.id }));
  await store.put(text?.[2] ?? '', Buffer.from(text?.[1] ?? ''));
  expect(await queue.collectObjects()).toMatchObject({ objects: 1 });
  await store.put(OWNER, Buffer.from('?'));
  await expect(queue.collectObjects()).rejects.toThrow(/marked in a way that is not known/);
});
