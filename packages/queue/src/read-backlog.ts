import type { Pool } from 'pg';
import { sqlState } from './connection-errors.ts';
import { inTransaction } from './in-transaction.ts';
import { type Backlog, countBacklog, estimateReady, knownLines, patienceMs } from './statements/backlog.ts';
import type { Names } from './statements/names.ts';

const TOO_LONG = '57014'; // query_canceled, by statement_timeout

/** For one transaction, on a connection that is not the queue's own: see `settings`. By its guess of the cost PostgreSQL would compile each count. */
const steadyHere =
  'set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off';

/**
 * What waits and runs, by kind and lane: counted where that is cheap, else estimated. It never takes much longer than a second, also
 * while an old transaction keeps millions of dead rows.
 */
export async function readBacklog(
  pool: Pool,
  names: Names,
  options: { kind: string | null; soonSeconds: number },
): Promise<Backlog[]> {
  const counted = await inTransaction(pool, async (db) => {
    await db.query(`set local statement_timeout = ${patienceMs}; ${steadyHere}`);
    return countBacklog(db, names, options);
  }).catch((error: unknown) => (sqlState(error) === TOO_LONG ? null : Promise.reject(error)));
  if (counted === null) return estimateAll(pool, names, options.kind);
  const estimates = counted.map(async (line) => {
    if (line.counted === 'exactly') return line;
    return { ...line, ready: Math.max(line.ready, await estimateReady(pool, names, line.kind, line.lane)) };
  });
  return Promise.all(estimates);
}

/** What waits and runs, counted however long it takes; more than 10,000 of something count as that many. */
export async function countWaiting(
  pool: Pool,
  names: Names,
  options: { kind: string | null; soonSeconds: number },
): Promise<Backlog[]> {
  return inTransaction(pool, async (db) => {
    await db.query(steadyHere);
    return countBacklog(db, names, options);
  });
}

async function estimateAll(pool: Pool, names: Names, kind: string | null): Promise<Backlog[]> {
  const lines = (await knownLines(pool, names)).filter((line) => kind === null || line.kind === kind);
  const unknown = { dueSoon: 0, running: 0, oldestSeconds: null, counted: 'estimated' as const };
  return Promise.all(
    lines.map(async (line) => ({
      ...line,
      ...unknown,
      ready: await estimateReady(pool, names, line.kind, line.lane),
    })),
  );
}
