import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { onTestFinished } from 'vitest';
import { Claimer } from './claimer.ts';
import { Link } from './link.ts';
import type { Wanted } from './source.ts';
import { namesIn } from './statements/names.ts';

/** Claims alone, without the process around them. */

export const names = namesIn('slipway_queue');

export interface Load {
  kind: string;
  key?: string;
  count: number;
  losses: number;
}

export async function load(pool: Pool, { kind, key, count, losses }: Load): Promise<void> {
  await pool.query(
    `insert into ${names.task} (kind, payload, state, run_at, key, losses, losses_allowed)
     select $1, json_build_object('n', n), 'ready', now(), $2, $3, 3 from generate_series(1, $4::int) as n`,
    [kind, key ?? null, losses, count],
  );
}

/** Something that claims, as a process with one connection does. */
export async function claimerUnderTest(pool: Pool, sweepSeconds = 10) {
  const link = new Link({
    pool,
    channel: names.channel,
    timeoutSeconds: 10,
    onConnect: async () => undefined,
    onNotification: () => undefined,
    onBroken: () => undefined,
  });
  await link.start();
  onTestFinished(() => link.stop());
  const later: string[] = [];
  const claims = new Claimer({ db: link, names, sweepSeconds, onLater: () => later.push('later') });
  const id = randomUUID();
  await pool.query(`insert into ${names.worker} (id) values ($1)`, [id]);
  const wanted = { kind: 'free', lane: 'normal', keyConcurrency: null, rate: null, keyRate: null } as const;
  const claim = async (more: Partial<Wanted> & { limit: number }) => {
    later.length = 0;
    return { tasks: await claims.claim(id, [{ ...wanted, ...more }]), later: later.length };
  };
  return { id, claim, claims, stop: () => link.stop() };
}
