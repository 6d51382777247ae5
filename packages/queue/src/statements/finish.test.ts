import { randomUUID } from 'node:crypto';
import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Queue } from '../queue.ts';
import { markGone, registerWorker } from './beat.ts';
import { finishBundled } from './bundle.ts';
import { finishTasks } from './finish.ts';
import { namesIn } from './names.ts';

test('an end whose task is gone is believed when it is repeated, as long as its worker was not given up', async () => {
  const { pool } = await testDatabase();
  await new Queue({ pool }).migrate();
  const names = namesIn('slipway_queue');
  const worker = randomUUID();
  await registerWorker(pool, names, { id: worker, leaseSeconds: 60, proof: null });
  const end = { id: '1', lease: '1', worker, bundle: '1' };
  const verdicts = async (certainty: 'first' | 'repeated') => {
    const done = ['none', 'some'] as const;
    const single = done.map((effects) =>
      finishTasks(pool, names, [{ ...end, result: null, output: null, effects }], certainty),
    );
    const bundled = finishBundled(pool, names, [end], [], certainty);
    return (await Promise.all([...single, bundled])).map((verdictOf) => verdictOf('1'));
  };
  expect(await verdicts('first')).toEqual(['late', 'late', 'late']);
  expect(await verdicts('repeated')).toEqual(['done', 'done', 'done']);
  await markGone(pool, names, [worker]);
  expect(await verdicts('repeated')).toEqual(['late', 'late', 'late']);
  await pool.query(`delete from ${names.worker}`);
  expect(await verdicts('repeated')).toEqual(['late', 'late', 'late']);
});
