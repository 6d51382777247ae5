import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { claimerUnderTest, load, names } from './claimer-under-test.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import { claimFromLines } from './statements/claim-line.ts';

/** Tasks that die with their next loss: where the process that has one passes others by, and who takes those. */

test('keys that have nothing but last chances are not looked at again and again by a process that has one', async () => {
  const { pool } = await queuesUnderTest();
  for (const key of ['a', 'b', 'c']) await load(pool, { kind: 'free', key, count: 2, losses: 2 });
  const { claim, stop } = await claimerUnderTest(pool);
  try {
    const looks = [];
    for (let n = 0; n < 10; n++) {
      const { tasks, later } = await claim({ limit: 4, lastChance: 'none' });
      expect(tasks).toEqual([]);
      looks.push(later);
    }
    expect(looks.at(-1)).toBe(0);
    const keys: (string | null)[] = [];
    for (let n = 0; n < 10; n++)
      keys.push(...(await claim({ limit: 4, lastChance: 'one' })).tasks.map(({ key }) => key));
    expect(keys.toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1))).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
  } finally {
    await stop();
  }
});

test.for(['none', 'one'] as const)(
  'behind last chances of a key whose slots are free the others go on (%s)',
  async (lastChance) => {
    const { pool } = await queuesUnderTest();
    for (const key of ['a', 'b', 'c']) {
      await load(pool, { kind: 'free', key, count: 4, losses: 2 });
      await load(pool, { kind: 'free', key, count: 4, losses: 0 });
    }
    const { claim, stop } = await claimerUnderTest(pool);
    try {
      let [fresh, chances] = [0, 0];
      for (let n = 0; n < 40; n++) {
        const { tasks } = await claim({ limit: 2, lastChance: chances === 0 ? lastChance : 'none' });
        chances += tasks.filter(({ losses }) => losses > 0).length;
        fresh += tasks.filter(({ losses }) => losses === 0).length;
      }
      expect(fresh).toBe(12);
    } finally {
      await stop();
    }
  },
);

test('what a process with a last chance passes over, another one takes at that very moment', async () => {
  const { pool } = await queuesUnderTest();
  await load(pool, { kind: 'note', count: 3, losses: 2 });
  const [first, second] = [randomUUID(), randomUUID()];
  await pool.query(`insert into ${names.worker} (id) values ($1), ($2)`, [first, second]);
  const line = { kind: 'note', lane: 'normal', priority: 0, position: 0, upToPriority: 0, limit: 4 } as const;
  const client = await pool.connect();
  try {
    await client.query('begin');
    const one = await claimFromLines(client, names, first, [line]);
    expect(one.tasks).toHaveLength(1);
    expect(one.passed).toHaveLength(1);
    const other = await claimFromLines(pool, names, second, [line]);
    expect(other.tasks).toHaveLength(1);
  } finally {
    await client.query('rollback');
    client.release();
  }
});
