import path from 'node:path';
import { startProcess, testDatabase, type TestProcess } from '@slipway/testing';
import type { Pool } from 'pg';
import { onTestFinished } from 'vitest';
import { connectPool, Queue, type QueueEvent, type QueueOptions } from './index.ts';

/** Queues with their tables in a database of their own, not started, and all that they tell. They stop with the test. */
export async function queuesUnderTest(options: Partial<QueueOptions> = {}) {
  const { pool, url } = await testDatabase({
    name: 'queue',
    prepare: async (template) => {
      const templatePool = connectPool(template);
      await new Queue({ pool: templatePool }).migrate();
      await templatePool.end();
    },
  });
  const events: QueueEvent[] = [];
  const another = (more: Partial<QueueOptions> = {}) => {
    const queue = new Queue({ pool, onEvent: (event) => events.push(event), ...options, ...more });
    onTestFinished(() => queue.stop({ graceSeconds: 0 }));
    return queue;
  };
  return { pool, url, events, another, queue: another() };
}

export interface WorkerProcessOptions {
  /** Tasks at once. */
  concurrency?: number;
  clock?: 'right' | 'an hour ahead';
}

/** Makes the tables that `worker-under-test.ts` needs. The answer starts such a process, and resolves when it works. */
export async function workerProcesses({ pool, url }: { pool: Pool; url: string }) {
  await pool.query(
    `create table release (name text);
     create table record (task bigint, name text, attempt int, pid int, began_at timestamptz default clock_timestamp(), ended_at timestamptz)`,
  );
  const file = (name: string) => path.join(import.meta.dirname, name);
  return async (
    leaseSeconds: number,
    { concurrency = 4, clock = 'right' }: WorkerProcessOptions = {},
  ): Promise<TestProcess> => {
    const child = startProcess(process.execPath, [
      ...(clock === 'right' ? [] : ['--import', file('shifted-clock-under-test.ts')]),
      file('worker-under-test.ts'),
      url,
      String(leaseSeconds),
      String(concurrency),
    ]);
    await child.waitForOutput(/^ready$/m);
    return child;
  };
}
