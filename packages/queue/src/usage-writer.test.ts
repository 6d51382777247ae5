import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Queue } from './index.ts';
import { namesIn } from './statements/names.ts';
import { addUsage, pruneUsage, type UsageRow } from './statements/usage.ts';

test('keeps the newest measurements of each kind', async () => {
  const { pool } = await testDatabase();
  const queue = new Queue({ pool });
  await queue.migrate();
  const names = namesIn('slipway_queue');
  const limits = { memoryBytes: 100, cpu: 0.5, timeoutSeconds: 20 };
  const row = (kind: string, taskId: number): UsageRow => ({
    kind,
    taskId: String(taskId),
    lane: 'normal',
    ended: 'done',
    peakBytes: 10.6,
    cpuSeconds: 0.5,
    wallSeconds: 1,
    limits,
  });
  await addUsage(
    pool,
    names,
    [1, 2, 3, 4, 5].flatMap((id) => [row('many', id), ...(id < 3 ? [row('few', id)] : [])]),
  );
  await pruneUsage(pool, names, 3);
  const tasks = async (kind: string, newest: number) =>
    (await queue.usage(kind, { newest })).map(({ taskId }) => taskId);
  expect(await tasks('many', 10)).toEqual(['3', '4', '5']);
  expect(await tasks('many', 2)).toEqual(['4', '5']);
  expect(await tasks('few', 10)).toEqual(['1', '2']);
  expect(await queue.usage('few', { newest: 1 })).toEqual([
    expect.objectContaining({ type: 'few', end: 'done', peakBytes: 11, limits }),
  ]);
});
