import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { expect, test } from 'vitest';
import { Claimer } from './claimer.ts';
import { Link } from './link.ts';
import { queuesUnderTest } from './queue-under-test.ts';
import type { Wanted } from './source.ts';
import { claimFromLines } from './statements/claim-line.ts';
import { namesIn } from './statements/names.ts';

/** Tasks that die with their next loss: where the process that has one passes others by, and who takes those. */

const names = namesIn('slipway_queue');

interface Load {
  kind: string;
  key?: string;
  count: number;
  losses: number;
}

async function load(pool: Pool, { kind, key, count, losses }: Load): Promise<void> {
  await pool.query(
    `insert into ${names.task} (kind, payload, state, run_at, key, losses, losses_allowed)
     select $1, json_build_object('n', n), 'ready', now(), $2, $3, 3 from generate_series(1, $4::int) as n`,
    [kind, key ?? null, losses, count],
  );
}

/** Something that claims, as a process with one connection does. */
async function claimer(pool: Pool) {
  const link = new Link({
    pool,
    channel: names.channel,
    timeoutSeconds: 10,
    onConnect: async () => undefined,
    onNotification: () => undefined,
    onBroken: () => undefined,
  });
  await link.start();
  const later: string[] = [];
  const claims = new Claimer({ db: link, names, onLater: () => later.push('later') });
  const id = randomUUID();
  await pool.query(`insert into ${names.worker} (id) values ($1)`, [id]);
  const wanted = { kind: 'free', lane: 'normal', keyConcurrency: null, rate: null, keyRate: null } as const;
  const claim = async (more: Partial<Wanted> & { limit: number }) => {
    later.length = 0;
    return { tasks: await claims.claim(id, [{ ...wanted, ...more }]), later: later.length };
  };
  return { id, claim, stop: () => link.stop() };
}

test('keys that have nothing but last chances are not looked at again and again by a process that has one', async () => {
  const { pool } = await queuesUnderTest();
  for (const key of ['a', 'b', 'c']) await load(pool, { kind: 'free', key, count: 2, losses: 2 });
  const { claim, stop } = await claimer(pool);
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
    const { claim, stop } = await claimer(pool);
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
