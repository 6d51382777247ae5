import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Discard, Queue, type QueueEvent, RemoteQueue, Snooze } from '../index.ts';
import { slowProxy } from '../objects/slow-proxy-under-test.ts';
import type { Outcome } from '../outcome.ts';
import { forgetWorkers, markGone } from '../statements/beat.ts';
import { housekeep } from '../statements/housekeep.ts';
import { namesIn } from '../statements/names.ts';
import { rescueTasks } from '../statements/rescue.ts';
import { kinds, serve } from './api-under-test.ts';
import type { RemoteEnd } from './remote-ends.ts';

const names = namesIn('slipway_queue');

const outcomes: Outcome[] = [
  { kind: 'done', result: 1, output: undefined },
  { kind: 'again', cause: 'error', seconds: 60, error: 'no' },
  { kind: 'escalated', cause: 'oom', error: 'too much' },
  { kind: 'snoozed', seconds: 60 },
  { kind: 'interrupted' },
  { kind: 'dead', cause: 'discarded', error: 'broken' },
];

/** A broker that nobody stops beside it: whoever is given up, the test decides. */
async function setup() {
  const { pool } = await testDatabase();
  const events: QueueEvent[] = [];
  const queue = new Queue({ pool, onEvent: (event) => void events.push(event) });
  await queue.migrate();
  const broker = queue.broker();
  await broker.start();
  onTestFinished(() => broker.stop());
  const worker = { id: (await broker.register()).workerId, scope: 'shop/' };
  const claim = async (lane: 'normal' | 'fallback' = 'normal') => {
    const wanted = [{ kind: 'shop/note', lane, limit: 1, keyConcurrency: null, rate: null, keyRate: null }];
    const signal = new AbortController().signal;
    const { tasks } = await broker.claim(worker, wanted, {
      waitSeconds: 5,
      known: null,
      running: [],
      slotNews: 0,
      signal,
    });
    const [task] = tasks;
    return task ?? expect.unreachable('there is no task');
  };
  const settle = async (
    ends: readonly Pick<RemoteEnd, 'id' | 'lease' | 'outcome'>[],
    certainty: 'first' | 'repeated',
  ) =>
    (
      await broker.settle(
        worker,
        ends.map((end) => ({ ...end, usage: null, busySeconds: 0, certainty })),
      )
    ).map(({ verdict }) => verdict);
  /** One task for each outcome, claimed. */
  const running = async () => {
    const ends: { id: string; lease: string; outcome: Outcome }[] = [];
    for (const outcome of outcomes) {
      await queue.enqueue(kinds.note, { n: 1 });
      const { id, lease } = await claim();
      ends.push({ id, lease, outcome });
    }
    return ends;
  };
  const rows = async () => (await pool.query('select * from slipway_queue.task order by id')).rows;
  return { pool, queue, broker, worker, events, claim, settle, running, rows };
}

const all = <T>(verdict: T) => outcomes.map(() => verdict);

test('an end of any kind that is told again is answered with what became of it, and counts once', async () => {
  const { settle, running, rows, events } = await setup();
  const ends = await running();
  expect(await settle(ends, 'first')).toEqual(all('done'));
  const before = await rows();
  const told = events.length;
  expect(await settle(ends, 'repeated')).toEqual(all('done'));
  expect(await rows()).toEqual(before);
  expect(events.length).toBe(told);
});

test('also when the task runs again, or has ended since', async () => {
  const { settle, running, claim, rows } = await setup();
  const ends = await running();
  await settle(ends, 'first');
  // What was escalated and what was interrupted.
  const again = [await claim('fallback'), await claim()];
  expect(await settle(ends, 'repeated')).toEqual(all('done'));
  expect((await rows()).filter(({ state }) => state === 'running')).toHaveLength(2);
  const second = again.map(({ id, lease }) => ({ id, lease, outcome: { kind: 'done' } as Outcome }));
  expect(await settle(second, 'first')).toEqual(['done', 'done']);
  expect(await settle(ends, 'repeated')).toEqual(all('done'));
});

test('two copies of an end that meet are both answered, and one of them counts', async () => {
  const { settle, running, events, rows } = await setup();
  const ends = await running();
  const verdicts = await Promise.all([settle(ends, 'first'), settle(ends, 'repeated'), settle(ends, 'repeated')]);
  expect(verdicts).toEqual([all('done'), all('done'), all('done')]);
  expect(events.map(({ event }) => event).toSorted()).toEqual(
    ['dead', 'done', 'escalated', 'interrupted', 'retry', 'snoozed'].toSorted(),
  );
  expect((await rows()).map(({ failures, ooms, interruptions }) => failures + ooms + interruptions)).toEqual([
    1, 1, 0, 1,
  ]);
});

test('after the worker was given up, what was written counts and what was taken back is late, for a day', async () => {
  const { pool, settle, running, worker, claim, queue } = await setup();
  const ends = await running();
  await queue.enqueue(kinds.note, { n: 2 });
  const { id, lease } = await claim();
  const unwritten = { id, lease, outcome: { kind: 'done' } as Outcome };
  await settle(ends, 'first');
  await markGone(pool, names, [worker.id]);
  expect(await settle(ends, 'repeated')).toEqual(all('done'));
  await rescueTasks(pool, names, 'restore');
  const check = async () => {
    expect(await settle(ends, 'repeated')).toEqual(all('done'));
    expect(await settle([unwritten], 'repeated')).toEqual(['late']);
  };
  await check();
  await pool.query(`update slipway_queue.worker set gone_at = gone_at - interval '1 minute'`);
  await forgetWorkers(pool, names);
  expect((await pool.query('select from slipway_queue.worker')).rowCount).toBe(0);
  await housekeep(pool, names);
  await check();
  // Another one has done it; that does not make the end of the first one count.
  await pool.query('delete from slipway_queue.task where id = $1', [id]);
  await check();

  await pool.query(`update slipway_queue.gone_worker set at = at - interval '25 hours'`);
  await housekeep(pool, names);
  expect((await pool.query('select from slipway_queue.gone_worker')).rowCount).toBe(0);
  expect(await settle(ends, 'repeated')).toEqual(all('unknown'));
  expect(await settle(ends, 'first')).toEqual(all('late'));
});

test.for([
  ['retry', new Error('no')],
  ['snoozed', new Snooze(60)],
  ['dead', new Discard('broken')],
] as const)('a worker whose answers are cut off hears of %s, not of late', async ([expected, error]) => {
  const { pool } = await testDatabase();
  const central = new Queue({ pool });
  await central.migrate();
  await central.start();
  const { url, server } = await serve(central, await temporaryFolder(), 0);
  const proxy = await slowProxy(new URL(url).origin);
  const events: QueueEvent[] = [];
  const remote = new RemoteQueue({
    url: `${proxy.endpoint}/api`,
    token: 'shop',
    onEvent: (event) => void events.push(event),
  });
  onTestFinished(async () => {
    await remote.stop({ graceSeconds: 0 });
    await central.stop({ graceSeconds: 0 });
    server.closeAllConnections();
    server.close();
    await proxy.stop();
  });
  remote.work({ ...kinds.note, backoff: () => 60 }, async () => {
    proxy.set({ kind: 'cut', afterBytes: 0 });
    throw error;
  });
  await remote.start();
  const id = await central.enqueue(kinds.note, { n: 1 });
  const ended = async () =>
    (await central.task(id))?.state !== 'running' && events.some(({ event }) => event === 'disconnected');
  await waitFor(ended, { what: 'the end to be written, and its answer to be lost' });
  proxy.set({ kind: 'good' });
  await waitFor(() => events.some(({ event }) => event === expected || event === 'late'), { what: expected });
  expect(events.map(({ event }) => event)).not.toContain('late');
});
