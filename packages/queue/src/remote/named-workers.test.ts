import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { RemoteQueue, type TaskKind } from '../index.ts';
import { kinds } from './api-under-test.ts';
import { servedQueue } from './served-queue-under-test.ts';

const kind = kinds.note;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its payload is not looked at
const anyKind = kind as unknown as TaskKind<unknown>;

/** A worker of this name that takes one task and never ends it. */
async function stuckWorker(url: string, name: string) {
  const begun = Promise.withResolvers<string>();
  const remote = new RemoteQueue({ url, token: 'shop', name });
  remote.work(
    kind,
    async (_, { taskId }) => {
      begun.resolve(taskId);
      await new Promise(() => undefined);
    },
    { concurrency: 1 },
  );
  await remote.start();
  onTestFinished(async () => await remote.stop({ graceSeconds: 0 }));
  return { remote, begun: begun.promise };
}

test('a task whose worker was seen to run out of memory goes to the fallback lane, and uses up no loss', async () => {
  const { queue, url, pool } = await servedQueue({ leaseSeconds: 60 });
  const one = await stuckWorker(url, 'render-1');
  const id = await queue.enqueue(kind, { n: 1 });
  expect(await one.begun).toBe(id);
  const broker = queue.broker();
  expect(await broker.busy('shop/')).toEqual(['render-1']);
  expect(await broker.busy('other/')).toEqual([]);

  expect(await broker.ranOutOfMemory('other/render-1', 'OOMKilled', () => anyKind)).toEqual([]);
  expect(await broker.ranOutOfMemory('shop/render-1', 'OOMKilled', () => anyKind)).toEqual([id]);
  const { rows } = await pool.query(`select state, lane, ooms, losses, history from slipway_queue.task where id = $1`, [
    id,
  ]);
  expect(rows).toMatchObject([
    { state: 'ready', lane: 'fallback', ooms: 1, losses: 0, history: [{ cause: 'oom', message: 'OOMKilled' }] },
  ]);
  expect(await broker.busy('shop/')).toEqual([]);
  expect(await broker.ranOutOfMemory('shop/render-1', 'OOMKilled', () => anyKind)).toEqual([]);
});

test('a worker without a name is nobody in particular', async () => {
  const { queue, url } = await servedQueue();
  const done: string[] = [];
  const remote = new RemoteQueue({ url, token: 'shop' });
  remote.work(kind, async (_, { taskId }) => void done.push(taskId), { concurrency: 1 });
  await remote.start();
  onTestFinished(async () => await remote.stop());
  const id = await queue.enqueue(kind, { n: 1 });
  await waitFor(() => done.includes(id), { what: 'the task' });
  expect(await queue.broker().busy('')).toEqual([]);
});
