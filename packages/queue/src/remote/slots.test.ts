import { createServer } from 'node:http';
import { once } from 'node:events';
import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { connectPool, Queue, RemoteQueue, taskKind, tasksApi } from '../index.ts';
import { setSlots } from '../scaling/index.ts';
import { folderStore } from '../objects/index.ts';

const kind = taskKind({ name: 'shop/production/render', payload: z.unknown() });

test('a worker elsewhere learns at once how many tasks it may have, also while it waits for some', async () => {
  const { url } = await testDatabase();
  const pool = connectPool(url, { onError: () => undefined });
  const objects = folderStore(await temporaryFolder());
  const queue = new Queue({ pool, objects });
  await queue.migrate();
  await queue.start();
  const api = tasksApi({ queue, objects, scope: 'shop/production/', kindOf: () => kind });
  const server = createServer((request, response) => void api(request, response, request.url ?? '/'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const decide = async (slots: number) =>
    await setSlots(pool, 'slipway_queue', { kind: kind.name, lane: 'normal', slots });
  await decide(1);
  const heard: { slots: number; at: number }[] = [];
  const remote = new RemoteQueue({
    url: `http://127.0.0.1:${port}`,
    token: '',
    onSlots: ([lane]) => {
      if (!lane) return;
      heard.push({ slots: lane.slots, at: performance.now() });
      remote.resize(kind.name, 'normal', lane.slots);
    },
  });
  remote.work(kind, async () => undefined, { concurrency: 0 });
  await remote.start();
  onTestFinished(async () => {
    await remote.stop();
    await queue.stop();
    server.close();
    server.closeAllConnections();
    await pool.end();
  });
  await waitFor(() => heard.some(({ slots }) => slots === 1), { what: 'the first number', seconds: 3 });
  // Its claim waits at the server now, for up to 25 s; heartbeats come every 5 s.
  await waitFor(async () => (await pool.query(`select from slipway_queue.worker`)).rowCount === 2, {
    what: 'it',
    seconds: 3,
  });
  for (const slots of [3, 7, 2]) {
    const before = performance.now();
    await decide(slots);
    await waitFor(() => heard.at(-1)?.slots === slots, { what: `the number ${slots}`, seconds: 3 });
    expect((heard.at(-1)?.at ?? 0) - before).toBeLessThan(1500);
  }
});
