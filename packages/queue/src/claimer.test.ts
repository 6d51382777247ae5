import { expect, test } from 'vitest';
import { Claimer } from './claimer.ts';
import { type Database, namesIn } from './statements/names.ts';

test('tasks that became too large for one bundle of as many as before are claimed with smaller ones', async () => {
  const asked: number[] = [];
  const query: Database['query'] = async (_text, values) => {
    const slots = Number(values?.[6]);
    asked.push(slots);
    if (slots > 10) throw new Error('invalid memory alloc request size');
    return { rows: [], rowCount: 0 };
  };
  const db = { query, transaction: () => expect.unreachable('nothing has a rate') };
  const claimer = new Claimer({ db, names: namesIn('slipway_queue'), onLater: () => undefined });
  const line = { kind: 'short', lane: 'normal', keyConcurrency: 1, rate: null, keyRate: null } as const;
  const claim = () => claimer.claim('worker', [{ ...line, limit: 5_000, manner: 'bundle' }]);
  await expect(claim()).rejects.toThrow('invalid memory');
  claimer.told({ what: 'ready', kind: 'short', lane: 'normal', priority: 0, position: 1 });
  await expect(claim()).rejects.toThrow('invalid memory');
  await claim();
  expect(asked.at(-1)).toBeLessThanOrEqual(10);
});
