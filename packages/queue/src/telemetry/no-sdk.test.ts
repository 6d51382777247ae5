import { trace } from '@opentelemetry/api';
import { testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Queue, taskKind, z } from '../index.ts';

const kind = taskKind({ name: 'thumbnail', payload: z.string() });

test('without an SDK nothing is kept with the task, and it runs', async () => {
  const { pool } = await testDatabase();
  const queue = new Queue({ pool });
  await queue.migrate();
  onTestFinished(() => queue.stop());
  queue.work(kind, async () => trace.getActiveSpan()?.spanContext().traceId ?? 'none');
  await queue.enqueue(kind, 'cat.png');
  expect((await pool.query('select trace from slipway_queue.task')).rows).toEqual([{ trace: null }]);
  await queue.start();
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, { what: 'the task' });
});
