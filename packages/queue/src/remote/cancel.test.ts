import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Queue, RemoteQueue } from '../index.ts';
import { kinds, serve } from './api-under-test.ts';

test('a worker asks once for each cancel, also while its handler does not end', async () => {
  const { pool } = await testDatabase();
  const central = new Queue({ pool, leaseSeconds: 3 });
  await central.migrate();
  await central.start();
  const { url, server } = await serve(central, await temporaryFolder(), 0);
  const requests: string[] = [];
  server.on('request', ({ url: path = '' }) => requests.push(path.replace(/.*\//, '')));
  const remote = new RemoteQueue({ url, token: 'shop' });
  const end = Promise.withResolvers<void>();
  onTestFinished(async () => {
    end.resolve();
    await remote.stop({ graceSeconds: 0 });
    await central.stop({ graceSeconds: 0 });
    server.closeAllConnections();
    server.close();
  });
  const told: number[] = [];
  const begun = new Set<number>();
  remote.work(
    kinds.note,
    async ({ n }, { signal }) => {
      signal.addEventListener('abort', () => told.push(n));
      begun.add(n);
      await end.promise;
    },
    { concurrency: 3 },
  );
  await remote.start();
  const ids: string[] = [];
  for (const n of [0, 1, 2]) ids.push(await central.enqueue(kinds.note, { n }));
  await waitFor(() => begun.size === 3, { what: 'all slots to be busy' });
  await waitFor(() => requests.at(-1) === 'claim', { what: 'the claim for no task' });
  requests.length = 0;
  for (const [n, id] of ids.entries()) {
    await central.cancel(id);
    await waitFor(() => told.length === n + 1, { what: `cancel ${n} to be told` });
  }
  expect(told).toEqual([0, 1, 2]);
  const beats = () => requests.filter((what) => what === 'beat').length;
  await waitFor(() => beats() >= 2, { what: 'two heartbeats' });
  // One after each answer.
  expect(requests.filter((what) => what === 'claim').length).toBeLessThanOrEqual(6);
  expect(requests.filter((what) => what !== 'claim').length).toBe(beats());
});
