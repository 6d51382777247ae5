import { expect, onTestFinished, test } from 'vitest';
import { Claimer, type ClaimerOptions } from './claimer.ts';
import { claimerUnderTest, load, names } from './claimer-under-test.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import type { Database } from './statements/names.ts';

test('tasks that became too large for one bundle of as many as before are claimed with smaller ones', async () => {
  const asked: number[] = [];
  const query: Database['query'] = async (_text, values) => {
    if (values?.length !== 8) return { rows: [], rowCount: 0 };
    const slots = Number(values[6]);
    asked.push(slots);
    if (slots > 10) throw new Error('invalid memory alloc request size');
    return { rows: [], rowCount: 0 };
  };
  const db: ClaimerOptions['db'] = { query, transaction: (work) => work({ query }) };
  const claimer = new Claimer({ db, names, sweepSeconds: 1, onLater: () => undefined });
  const line = { kind: 'short', lane: 'normal', keyConcurrency: 1, rate: null, keyRate: null } as const;
  const claim = () => claimer.claim('worker', [{ ...line, limit: 5_000, manner: 'bundle' }]);
  await expect(claim()).rejects.toThrow('invalid memory');
  claimer.told({ what: 'ready', kind: 'short', lane: 'normal', priority: 0, position: 1 });
  await expect(claim()).rejects.toThrow('invalid memory');
  await claim();
  expect(asked.at(-1)).toBeLessThanOrEqual(10);
});

test.for(['bundle', 'singly'] as const)(
  'a sweep that has too much to read that is long gone is given up, and what was told is claimed at once (%s)',
  async (manner) => {
    const { pool } = await queuesUnderTest();
    const holder = await pool.connect();
    onTestFinished(() => holder.release(true));
    await holder.query('begin isolation level repeatable read');
    await holder.query('select 1');
    await load(pool, { kind: 'free', count: 200_000, losses: 0 });
    await pool.query(`delete from ${names.task}`);
    await load(pool, { kind: 'free', count: 3, losses: 0 });
    const { rows } = await pool.query<{ position: string }>(`select min(position) as position from ${names.task}`);
    const { claim, claims } = await claimerUnderTest(pool, 0.005);
    expect(await claim({ limit: 10, manner })).toEqual({ tasks: [], later: 1 });
    claims.told({ what: 'ready', kind: 'free', lane: 'normal', priority: 0, position: Number(rows[0]?.position) });
    expect((await claim({ limit: 10, manner })).tasks).toHaveLength(3);
  },
);
