import { expect, onTestFinished, test } from 'vitest';
import { Finisher, type Settled } from './finisher.ts';
import { allDone } from './statements/finish.ts';

test('a teller that throws neither keeps others from hearing of their ends, nor has anything written or told twice', async () => {
  const faults: unknown[] = [];
  const before = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', (fault) => faults.push(fault));
  onTestFinished(() => {
    process.removeAllListeners('unhandledRejection');
    for (const listener of before) process.on('unhandledRejection', listener);
  });
  const written: string[] = [];
  const told: string[] = [];
  const finisher = new Finisher(async (batch) => {
    written.push(...batch.map(({ id }) => id));
    return allDone;
  });
  const end = (id: string, fault: Error | null = null) =>
    new Promise<Settled>((resolve) => {
      const heard = (settled: Settled) => {
        told.push(id);
        resolve(settled);
        if (fault !== null) throw fault;
      };
      finisher.finish({ id, lease: '1' }, { written: heard });
    });
  const fault = new Error('a listener of the program');
  await Promise.all([end('1'), end('2'), end('3', fault), end('4')]);
  await end('5');
  expect(written).toEqual(['1', '2', '3', '4', '5']);
  expect(told).toEqual(['1', '2', '3', '4', '5']);
  await expect.poll(() => faults).toEqual([fault]);
});
