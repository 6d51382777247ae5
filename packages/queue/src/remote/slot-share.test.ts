import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Queue, RemoteQueue } from '../index.ts';
import { slowProxy } from '../objects/slow-proxy-under-test.ts';
import { setSlots } from '../scaling/index.ts';
import { kinds, serve } from './api-under-test.ts';

const kind = 'shop/note';

/** Workers that follow what was decided for one lane, and what they were told and run, seen from outside. */
async function setup(leaseSeconds: number) {
  const { pool } = await testDatabase();
  const central = new Queue({ pool, leaseSeconds });
  await central.migrate();
  await central.start();
  const { url, server } = await serve(central, await temporaryFolder(), 0);
  onTestFinished(async () => {
    await central.stop({ graceSeconds: 0 });
    server.closeAllConnections();
    server.close();
  });
  const told = new Map<RemoteQueue, number>();
  const sum = () => [...told.values()].reduce((all, slots) => all + slots, 0);
  const most = { told: 0, running: 0 };
  let running = 0;
  const ends: (() => void)[] = [];
  const decide = (slots: number) => setSlots(pool, 'slipway_queue', { kind, lane: 'normal', slots });
  const start = async (at = url) => {
    const remote = new RemoteQueue({
      url: at,
      token: 'shop',
      onSlots: (lanes) => {
        for (const { kind: name, lane, slots } of lanes) {
          if (name !== kind || lane !== 'normal') continue;
          told.set(remote, slots);
          most.told = Math.max(most.told, sum());
          remote.resize(name, lane, slots);
        }
      },
    });
    remote.work(
      kinds.note,
      async (_, { signal }) => {
        running += 1;
        most.running = Math.max(most.running, running);
        await new Promise<void>((resolve) => {
          ends.push(resolve);
          signal.addEventListener('abort', () => resolve());
        });
        running -= 1;
      },
      { concurrency: 0 },
    );
    await remote.start();
    onTestFinished(() => remote.stop({ graceSeconds: 0 }));
    return remote;
  };
  const even = async (slots: number, workers: number, seconds = 10) => {
    const shared = () => {
      const all = [...told.values()];
      return sum() === slots && all.length === workers && Math.max(...all) - Math.min(...all) <= 1;
    };
    const what = `${slots} slots to be shared by ${workers}, not ${[...told.values()].join(', ')}`;
    await waitFor(shared, { what, seconds });
  };
  const enqueue = (tasks: number) =>
    central.enqueueMany(
      kinds.note,
      Array.from({ length: tasks }, (_, n) => ({ payload: { n } })),
    );
  const endAll = () => {
    for (const end of ends.splice(0)) end();
  };
  return { url, told, sum, most, running: () => running, decide, start, even, enqueue, endAll };
}

test('workers that follow one lane share its slots: all are used, and never more than there are', async () => {
  const { told, sum, most, decide, start, even, enqueue, endAll, running } = await setup(60);
  await decide(7);
  await start();
  await even(7, 1);
  const [second] = await Promise.all([start(), start()]);
  await even(7, 3);
  await enqueue(40);
  await waitFor(() => running() === 7, { what: 'all slots to be used' });
  await decide(9);
  await even(9, 3);
  await waitFor(() => running() === 9, { what: 'all of the new slots to be used' });
  expect(most).toEqual({ told: 9, running: 9 });
  // One that leaves gives back its part at once; the tasks of it run again.
  told.delete(second);
  await second.stop({ graceSeconds: 0 });
  await even(9, 2);
  await waitFor(() => running() === 9, { what: 'all slots to be used by two' });
  expect(most).toEqual({ told: 9, running: 9 });
  // Both run more than all: nobody may begin anything, until enough has ended.
  await decide(1);
  await waitFor(() => sum() === 0, { what: 'both to stop' });
  endAll();
  await even(1, 2);
  await waitFor(() => running() === 1, { what: 'the one slot to be used' });
});

test('what a worker still runs is not given to another one before it has ended', async () => {
  const { told, most, decide, start, even, enqueue, endAll, running } = await setup(60);
  await decide(4);
  await enqueue(40);
  const first = await start();
  await waitFor(() => running() === 4, { what: 'the first one to be full' });
  const second = await start();
  await waitFor(() => told.get(first) === 2, { what: 'the first one to hear of the second' });
  expect(told.get(second) ?? 0).toBe(0);
  endAll();
  await even(4, 2);
  await waitFor(() => running() === 4, { what: 'all slots to be used again' });
  expect(most).toEqual({ told: 4, running: 4 });
});

test('the part of a worker that dies is given to the others within a lease', async () => {
  const leaseSeconds = 2;
  const { url, told, decide, start, even } = await setup(leaseSeconds);
  const proxy = await slowProxy(new URL(url).origin);
  await decide(8);
  await start();
  const dead = await start(`${proxy.endpoint}/api`);
  await even(8, 2);
  const began = performance.now();
  await proxy.stop();
  told.delete(dead);
  await even(8, 1);
  // Given up after a lease, heard of with the next heartbeat.
  expect((performance.now() - began) / 1_000).toBeLessThan(leaseSeconds * 2);
});
