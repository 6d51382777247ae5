import { ownPostgres, testDatabase, waitFor } from '@slipway/testing';
import { Registry } from 'prom-client';
import { expect, onTestFinished, test } from 'vitest';
import { connectPool, openQueue, Queue, taskKind, TimedOut, z } from '../index.ts';
import { queueMetrics } from './metrics.ts';

const thumbnail = taskKind({ name: 'thumbnail', payload: z.string(), fallback: 'bigger', retries: 0 });
const mail = taskKind({ name: 'mail', payload: z.string() });

test('a scrape tells what happened, what waits, and how long attempts took', async () => {
  const { queue, scrape } = await measuredQueue();
  queue.work(thumbnail, async (image) => {
    if (image === 'large') throw new TimedOut('20 s');
    if (image === 'broken') throw new Error('no');
  });
  await queue.start();
  await queue.enqueueMany(thumbnail, [
    { payload: 'small' },
    { payload: 'small' },
    { payload: 'large' },
    { payload: 'broken' },
  ]);
  await queue.enqueue(mail, 'soon', { delaySeconds: 30 });
  await queue.enqueue(mail, 'later', { delaySeconds: 3_600 });
  await queue.enqueue(mail, 'now');
  await waitFor(
    async () => (await scrape()).includes('attempts_total{kind="thumbnail",lane="normal",cause="error"} 1'),
    {
      what: 'the attempts',
    },
  );
  const lines = await scrape();
  expect(lines).toEqual(
    expect.arrayContaining([
      'up 1',
      'tasks_enqueued_total{kind="thumbnail",lane="normal"} 4',
      'attempts_total{kind="thumbnail",lane="normal",cause="done"} 2',
      'attempts_total{kind="thumbnail",lane="normal",cause="timeout"} 1',
      'attempts_total{kind="thumbnail",lane="normal",cause="oom"} 0',
      'tasks_escalated_total{kind="thumbnail",lane="normal"} 1',
      'tasks_dead_total{kind="thumbnail",lane="normal"} 1',
      'ready{kind="thumbnail",lane="fallback"} 1',
      'ready{kind="mail",lane="normal"} 1',
      'due_soon{kind="mail",lane="normal"} 1',
      'running{kind="mail",lane="normal"} 0',
      'attempt_seconds_count{kind="thumbnail",lane="normal",cause="done"} 2',
      'attempt_seconds_count{kind="thumbnail",lane="normal",cause="timeout"} 1',
      'wait_seconds_count{kind="thumbnail",lane="normal"} 4',
    ]),
  );
  expect(lines.find((line) => line.startsWith('oldest_seconds{kind="mail",lane="normal"}'))).toMatch(/ 0\.\d|[1-9]/);
});

test('what one process did is told by all, and read anew at each scrape', async () => {
  const { queue, pool, scrape } = await measuredQueue();
  const other = new Queue({ pool });
  await other.enqueue(mail, 'a');
  await other.tally();
  expect(await scrape()).toContain('tasks_enqueued_total{kind="mail",lane="normal"} 1');
  expect(await scrape()).toContain('ready{kind="mail",lane="normal"} 1');
  await queue.cancel(await other.enqueue(mail, 'b', { unique: 'b' }));
  await other.tally();
  expect(await scrape()).toContain('tasks_enqueued_total{kind="mail",lane="normal"} 2');
});

test('without PostgreSQL a scrape says so, and does not fail', async () => {
  const postgres = await ownPostgres();
  const queue = await openQueue(postgres.url);
  const register = new Registry();
  queueMetrics(queue, { register });
  await queue.enqueue(mail, 'a');
  expect(await register.metrics()).toContain('slipway_queue_up 1');
  await postgres.stop();
  const text = await register.metrics();
  expect(text).toContain('slipway_queue_up 0');
  expect(text).not.toContain('kind="mail"');
  await postgres.start();
  await waitFor(async () => (await register.metrics()).includes('slipway_queue_ready{kind="mail",lane="normal"} 1'), {
    what: 'the figures to be back',
  });
});

test('a second queue needs a registry of its own, until the first is stopped', async () => {
  const { queue, metrics } = await measuredQueue();
  expect(() => queueMetrics(queue, { register: metrics.register })).toThrow(/already been registered/);
  metrics.stop();
  queueMetrics(queue, { register: metrics.register }).stop();
  expect(await metrics.register.metrics()).toBe('\n');
});

async function measuredQueue() {
  const { url } = await testDatabase();
  const pool = connectPool(url);
  const queue = new Queue({ pool });
  await queue.migrate();
  onTestFinished(async () => {
    await queue.stop();
    await pool.end();
  });
  const metrics = queueMetrics(queue, { register: new Registry() });
  /** Lines without their common prefix. */
  const scrape = async () =>
    (await metrics.register.metrics()).split('\n').map((line) => line.replace(/^slipway_queue_/, ''));
  return { queue, pool, metrics, scrape };
}
