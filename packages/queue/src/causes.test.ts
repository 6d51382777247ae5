import { testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { Crashed, Interrupted, OutOfMemory, Queue, taskKind, TimedOut } from './index.ts';

/** Each way in which an attempt ends has its own counter and its own path. */

const heavy = taskKind({ name: 'heavy', payload: z.null(), retries: 1, backoff: () => 0, fallback: 'bigger' });

/** Runs one task through attempts that end like this, one after the other, and tells in which lanes they ran. */
async function run(ends: (Error | null)[], options: { redrive?: 'yes' } = {}) {
  const { pool } = await testDatabase();
  const queue = new Queue({ pool });
  onTestFinished(() => queue.stop({ graceSeconds: 0 }));
  await queue.migrate();
  const lanes: string[] = [];
  for (const lane of ['normal', 'fallback'] as const) {
    queue.work(
      heavy,
      async () => {
        const end = ends[lanes.push(lane) - 1] ?? null;
        if (end !== null) throw end;
      },
      { lane },
    );
  }
  await queue.start();
  const id = await queue.enqueue(heavy, null);
  const settled = () =>
    waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, { what: 'the end' });
  await settled();
  const [dead = null] = await queue.dead({ limit: 1 });
  if (options.redrive === 'yes') {
    await queue.redrive(id);
    await settled();
  }
  return { lanes, dead };
}

test.for([new OutOfMemory('too big'), new TimedOut('too slow')])('%s in normal goes to fallback at once', async (end) => {
  expect(await run([end, null])).toEqual({ lanes: ['normal', 'fallback'], dead: null });
});

test('what escalated stays in fallback: after an interruption, a crash, an error and a redrive', async () => {
  const { lanes, dead } = await run(
    [new OutOfMemory('too big'), new Interrupted('spot'), new Crashed('exit 139'), new Error('once'), new Error('twice'), null],
    { redrive: 'yes' },
  );
  expect(lanes).toEqual(['normal', ...Array<string>(5).fill('fallback')]);
  expect(dead).toMatchObject({
    cause: 'retries-used',
    lane: 'fallback',
    ooms: 1,
    timeouts: 0,
    interruptions: 1,
    crashes: 1,
    losses: 0,
    failures: 1,
    attempts: 5,
  });
  expect(dead?.history.map(({ cause, lane }) => `${cause} ${lane}`)).toEqual([
    'oom normal',
    'crash fallback',
    'error fallback',
    'error fallback',
  ]);
});

test('out of memory in fallback too: it is dead', async () => {
  const { lanes, dead } = await run([new TimedOut('too slow'), new OutOfMemory('too big')]);
  expect(lanes).toEqual(['normal', 'fallback']);
  expect(dead).toMatchObject({ cause: 'out-of-memory', timeouts: 1, lane: 'fallback' });
});
