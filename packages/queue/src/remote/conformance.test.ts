import { waitFor } from '@slipway/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { OutOfMemory, Queue, type QueueEvent, RemoteQueue } from '../index.ts';
import { kinds } from './api-under-test.ts';
import { servedQueue } from './served-queue-under-test.ts';

/** What a handler is promised, whether its tasks come from PostgreSQL or over HTTP. */

async function setup(by: 'PostgreSQL' | 'HTTP', leaseSeconds = 2) {
  const { pool, queue: central, url } = await servedQueue({ leaseSeconds });
  const events: QueueEvent[] = [];
  const onEvent = (event: QueueEvent) => void events.push(event);
  const another = () => {
    const queue =
      by === 'HTTP' ? new RemoteQueue({ url, token: 'shop', onEvent }) : new Queue({ pool, leaseSeconds, onEvent });
    onTestFinished(() => queue.stop({ graceSeconds: 0 }));
    return queue;
  };
  const left = async () => (await pool.query('select from slipway_queue.task')).rowCount;
  const gone = () => waitFor(async () => (await left()) === 0, { what: 'every task to be gone' });
  return { pool, central, events, queue: another(), another, gone };
}

describe.for(['PostgreSQL', 'HTTP'] as const)('tasks from %s', (by) => {
  test('are done once each, also those that were enqueued later, and their results kept', async () => {
    const { pool, queue, gone } = await setup(by);
    const seen: number[] = [];
    queue.work(kinds.note, async ({ n }) => {
      seen.push(n);
      return { twice: n * 2 };
    });
    await queue.enqueue(kinds.note, { n: 0 });
    await queue.start();
    for (let n = 1; n < 20; n++) await queue.enqueue(kinds.note, { n });
    await gone();
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    const { rows } = await pool.query(`select result from slipway_queue.done_task order by id`);
    expect(rows[3]).toEqual({ result: { twice: 6 } });
    expect(rows).toHaveLength(20);
  });

  test('are picked up quickly when the queue was idle', async () => {
    const { queue, central } = await setup(by);
    const times: number[] = [];
    queue.work(kinds.note, async () => void times.push(performance.now()));
    await queue.start();
    const latencies: number[] = [];
    for (let n = 1; n <= 10; n++) {
      const begin = performance.now();
      await central.enqueue(kinds.note, { n });
      await waitFor(() => times.length === n, { what: 'the task to be handled' });
      latencies.push((times.at(-1) ?? 0) - begin);
    }
    expect(latencies.toSorted((a, b) => a - b)[5]).toBeLessThan(200);
  });

  test('are tried again as often as their kind says, and die with their history', async () => {
    const { central, queue, gone } = await setup(by);
    queue.work(kinds.note, async (_, { number }) => {
      throw new Error(`attempt ${number}`);
    });
    await queue.start();
    const id = await queue.enqueue(kinds.note, { n: 1 });
    await gone();
    const [dead] = await central.dead({ limit: 1 });
    expect(dead).toMatchObject({ id, cause: 'retries-used', error: 'attempt 3', failures: 2 });
    expect(dead?.history.map(({ message }) => message)).toEqual(['attempt 1', 'attempt 2', 'attempt 3']);
  });

  test('are aborted when they are cancelled while they run', async () => {
    const { queue, gone } = await setup(by, 1);
    const begun = Promise.withResolvers<void>();
    const reasons: string[] = [];
    queue.work(kinds.note, async (_, { signal }) => {
      begun.resolve();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      reasons.push(String(signal.reason));
    });
    await queue.start();
    const id = await queue.enqueue(kinds.note, { n: 1 });
    await begun.promise;
    expect(await queue.cancel(id)).toBe(true);
    await gone();
    expect(reasons).toEqual(['AbortError: the task was cancelled']);
    expect(await queue.cancel(id)).toBe(false);
  });

  test.for(['free', 'busy'] as const)(
    'are aborted at once when they are cancelled, long before the next heartbeat, with the other slots %s',
    async (others) => {
      const { queue, central, gone } = await setup(by, 60);
      const aborted: number[] = [];
      const running = new Set<number>();
      queue.work(
        kinds.note,
        async ({ n }, { signal }) => {
          running.add(n);
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
          aborted.push(n);
        },
        { concurrency: others === 'free' ? 4 : 2 },
      );
      await queue.start();
      const ids: string[] = [];
      for (const n of [0, 1]) ids.push(await queue.enqueue(kinds.note, { n }));
      await waitFor(() => running.size === 2, { what: 'both tasks to run' });
      const begin = performance.now();
      for (const [n, id] of ids.entries()) {
        expect(await central.cancel(id)).toBe(true);
        await waitFor(() => aborted.length === n + 1, { what: `task ${n} to be aborted`, seconds: 5 });
      }
      expect(aborted).toEqual([0, 1]);
      await gone();
      expect(performance.now() - begin).toBeLessThan(2_000); // a beat comes every 20 s
    },
  );

  test('go to the fallback lane when memory runs out, and stay there', async () => {
    const { queue, gone, central } = await setup(by);
    const lanes: string[] = [];
    queue.work(kinds.note, async (_, { lane, used }) => {
      lanes.push(lane);
      const limits = { memoryBytes: 100, cpu: 1, timeoutSeconds: 9 };
      used({ peakBytes: 101, cpuSeconds: 1, wallSeconds: 2, limits });
      throw new OutOfMemory('too much');
    });
    queue.work(kinds.note, async (_, { lane }) => void lanes.push(lane), { lane: 'fallback' });
    await queue.start();
    await queue.enqueue(kinds.note, { n: 1 });
    await gone();
    expect(lanes).toEqual(['normal', 'fallback']);
    await queue.stop();
    const samples = await central.usage('shop/note');
    expect(samples).toMatchObject([{ type: 'shop/note', lane: 'normal', end: 'oom', peakBytes: 101, wallSeconds: 2 }]);
  });

  test('tell how far they are', async () => {
    const { pool, queue } = await setup(by);
    const told = Promise.withResolvers<void>();
    queue.work(kinds.note, async (_, { progress }) => {
      progress(0.25);
      await told.promise;
    });
    await queue.start();
    await queue.enqueue(kinds.note, { n: 1 });
    await waitFor(
      async () => (await pool.query('select from slipway_queue.task where progress is not null')).rowCount === 1,
      {
        what: 'the progress to be written',
      },
    );
    const { rows } = await pool.query('select progress from slipway_queue.task');
    expect(rows).toEqual([{ progress: 0.25 }]);
    told.resolve();
  });

  test('go back at once when the worker stops, and use up nothing; what had not begun as well', async () => {
    const { pool, queue } = await setup(by, 60);
    const begun = Promise.withResolvers<void>();
    queue.work(
      kinds.note,
      () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
      { concurrency: 1 },
    );
    await queue.start();
    for (let n = 0; n < 3; n++) await queue.enqueue(kinds.note, { n });
    await begun.promise;
    const begin = performance.now();
    await queue.stop({ graceSeconds: 0.1 });
    expect(performance.now() - begin).toBeLessThan(3_000);
    const { rows } = await pool.query(
      'select state, losses, failures, interruptions from slipway_queue.task order by id',
    );
    const waiting = { state: 'ready', losses: 0, failures: 0 };
    expect(rows).toMatchObject([{ ...waiting, interruptions: 1 }, waiting, waiting]);
  });

  test('are aborted when the lease was lost; only the attempt of the new lease counts', async () => {
    const { pool, queue, events, gone } = await setup(by, 1);
    const reasons: string[] = [];
    const second = Promise.withResolvers<void>();
    queue.work(kinds.note, async (_, { signal, number }) => {
      if (number > 1) return second.resolve();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      reasons.push(String(signal.reason));
      await second.promise;
    });
    await queue.start();
    await queue.enqueue(kinds.note, { n: 1 });
    await waitFor(
      async () => (await pool.query(`select from slipway_queue.task where state = 'running'`)).rowCount === 1,
      {
        what: 'the task to run',
      },
    );
    await pool.query(
      `update slipway_queue.worker set gone_at = clock_timestamp() where id = (select worker_id from slipway_queue.task)`,
    );
    await gone();
    expect(reasons).toEqual(['AbortError: this process did not report in time, so the task was given to another one']);
    await waitFor(() => events.some(({ event }) => event === 'late'), { what: 'the late result to be reported' });
    expect(events.map(({ event }) => event)).toContain('lease-lost');
  });
});
