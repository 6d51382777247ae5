import { inTransaction } from '@slipway/queue';
import type { Pool, PoolClient } from 'pg';

/** Where a statement runs: any connection, or the one of the caller's transaction. */
export type Database = Pool | PoolClient;

/** Runs one statement and returns its rows. The row type is the caller's word: the columns are named in the SQL beside it. */
export async function rows<Row>(db: Database, text: string, values: unknown[] = []): Promise<Row[]> {
  const result = await db.query(text, values);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named beside the type, see above
  return result.rows as Row[];
}

/** Like {@link rows}, for at most one row. */
export async function row<Row>(db: Database, text: string, values: unknown[] = []): Promise<Row | null> {
  const found = await rows<Row>(db, text, values);
  return found[0] ?? null;
}

/** Like {@link row}, where the absence of the row is a bug. */
export async function theRow<Row>(db: Database, text: string, values: unknown[] = []): Promise<Row> {
  const found = await row<Row>(db, text, values);
  if (!found) throw new Error(`a row that must exist does not: ${text.trim().slice(0, 80)}`);
  return found;
}

const DEADLOCK = '40P01';

/**
 * Runs `work` in one transaction: all of it, or nothing. When PostgreSQL ends it because it and another one waited for each other, it runs
 * again, so it must keep nothing from the first time.
 */
export async function transaction<Result>(pool: Pool, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await inTransaction(pool, work);
    } catch (error) {
      const isDeadlock = error instanceof Error && 'code' in error && error.code === DEADLOCK;
      if (!isDeadlock || tries === 3) throw error;
    }
  }
}
