import { copyFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { Queue, taskKind } from './index.ts';
import { migrate } from './migrate.ts';

const note = taskKind({ name: 'note', payload: z.object({ n: z.number() }) });

test('tasks of the first version, in every state, are worked off after the migration', async () => {
  const { pool } = await testDatabase();
  const folder = await temporaryFolder();
  const all = path.join(import.meta.dirname, '..', 'migrations');
  const [first = ''] = (await readdir(all)).toSorted();
  await copyFile(path.join(all, first), path.join(folder, first));
  await migrate(pool, { schema: 'slipway_queue', folder });
  await pool.query(
    `insert into slipway_queue.task (kind, payload, state, run_at, key, worker_id, lease, attempts, losses_allowed) values
       ('note', '{"n":1}', 'ready', now(), null, null, 0, 0, 3),
       ('note', '{"n":2}', 'scheduled', now() + interval '1 second', null, null, 1, 1, 3),
       ('note', '{"n":3}', 'running', now(), null, gen_random_uuid(), 1, 1, 3),
       ('note', '{"n":4}', 'running', now(), 'k', gen_random_uuid(), 1, 1, 3),
       ('note', '{"n":5}', 'ready', now(), 'k', null, 0, 0, 3)`,
  );
  await pool.query(
    `insert into slipway_queue.dead_task
       (id, kind, payload, priority, lease, attempts, failures, interruptions, losses, losses_allowed, history, created_at, cause, error)
     values (1000, 'note', '{"n":6}', 0, 6, 6, 6, 0, 0, 3, '[]', now(), 'retries-used', 'why')`,
  );
  const queue = new Queue({ pool, leaseSeconds: 1 });
  onTestFinished(() => queue.stop({ graceSeconds: 0 }));
  await queue.migrate();
  const seen: number[] = [];
  queue.work(note, async ({ n }) => void seen.push(n));
  await queue.start();
  expect(await queue.redrive('1000')).toBe(true);
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
    what: 'every task to be done',
    seconds: 20,
  });
  expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(seen.indexOf(4)).toBeLessThan(seen.indexOf(5)); // of one key, in order
  expect(await queue.dead({ limit: 1 })).toEqual([]);
});
