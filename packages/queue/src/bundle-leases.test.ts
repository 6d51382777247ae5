import { randomUUID } from 'node:crypto';
import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Queue } from './queue.ts';
import { Settler } from './settler.ts';
import { short } from './short-worker-under-test.ts';
import { markGone } from './statements/beat.ts';
import { rescueBundles, takeBack, takeBackStrayBundles, takeOut } from './statements/bundle.ts';
import { buryTask } from './statements/bury.ts';
import { cancelTask } from './statements/cancel.ts';
import { claimBundle, claimFromLines } from './statements/claim-line.ts';
import type { Claimed } from './statements/claimed.ts';
import { finishTasks } from './statements/finish.ts';
import { namesIn } from './statements/names.ts';
import { releaseTask } from './statements/release.ts';
import { unclaimTasks } from './statements/unclaim.ts';

/** What the exploration of the lease machine found: what a worker says of a task that was in a bundle of its, and is not any more. */

const names = namesIn('slipway_queue');
const line = { kind: 'short', lane: 'normal', priority: 0, position: 0, upToPriority: 0, limit: 10 } as const;

async function setup(tasks: number) {
  const { pool } = await testDatabase();
  const queue = new Queue({ pool });
  await queue.migrate();
  const [one, other] = [randomUUID(), randomUUID()];
  await pool.query(`insert into ${names.worker} (id) values ($1), ($2)`, [one, other]);
  await queue.enqueueMany(
    short,
    Array.from({ length: tasks }, (_, n) => ({ payload: { n } })),
  );
  const claimed = (await claimBundle(pool, names, one, line)).tasks;
  expect(claimed).toHaveLength(tasks);
  const row = async ({ id }: Claimed) =>
    (await pool.query(`select state, worker_id as holder, attempts, failures from ${names.task} where id = $1`, [id]))
      .rows[0];
  return { pool, one, other, claimed, row };
}

test('what is given back unbegun is not taken from the worker that claims it at that moment', async () => {
  const { pool, one, other, claimed, row } = await setup(1);
  const [task] = claimed as [Claimed];
  await takeBack(pool, names, String(task.bundle), [task.id]);
  const [again] = (await claimFromLines(pool, names, other, [line])).tasks;
  expect(again?.id).toBe(task.id);
  expect(Number(again?.lease)).toBeGreaterThan(Number(task.lease));
  // The second half of giving back: for those that a cancel had taken out.
  await unclaimTasks(pool, names, [task], 'restore');
  expect(await row(task)).toMatchObject({ state: 'running', holder: other, attempts: 1 });
  expect(one).not.toBe(other);
});

test('an attempt whose bundle was rescued can neither end its task nor give it back', async () => {
  const { pool, one, claimed, row } = await setup(4);
  await markGone(pool, names, [one]);
  expect(await rescueBundles(pool, names)).toBe(4);
  const [released, buried, finished, unclaimed] = claimed as [Claimed, Claimed, Claimed, Claimed];
  await takeOut(
    pool,
    names,
    claimed.map((task) => ({ ...task, bundle: String(task.bundle) })),
  );
  const history = { attempt: 1, lane: 'normal', at: new Date().toISOString(), cause: 'error', message: '' } as const;
  const release = { seconds: 60, counts: 'error', lane: 'normal', history, name: 'restore' } as const;
  expect(await releaseTask(pool, names, released, release)).toBe('late');
  expect(await buryTask(pool, names, buried, { cause: 'discarded', entry: history })).toBe('late');
  const done = { ...finished, result: null, output: null, effects: 'none' } as const;
  expect((await finishTasks(pool, names, [done], 'first'))(done.id)).toBe('late');
  await unclaimTasks(pool, names, [unclaimed], 'restore');
  for (const task of claimed)
    expect(await row(task)).toEqual({ state: 'ready', holder: null, attempts: 1, failures: 0 });
});

test('a task that a cancel took out of its bundle is done when it is, also when nothing else of the bundle is left', async () => {
  const { pool, one, claimed } = await setup(2);
  const settler = new Settler(pool, names);
  const finish = (task: Claimed) =>
    new Promise((written) => settler.finishBundled(task, String(task.bundle), { written }));
  const [first, second] = claimed as [Claimed, Claimed];
  settler.opened(String(first.bundle), 2);
  expect(await finish(first)).toEqual({ verdict: 'done' });
  expect(await cancelTask(pool, names, second.id)).toBe(true);
  // A claim broke meanwhile; the heartbeat gives back what this worker does not know of.
  await takeBackStrayBundles(pool, names, { id: one, known: [second.id] });
  expect(await finish(second)).toEqual({ verdict: 'done' });
  expect((await pool.query(`select from ${names.task}`)).rowCount).toBe(0);
});
