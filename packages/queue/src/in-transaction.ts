import type { Pool } from 'pg';
import type { Database } from './statements/names.ts';

/** Runs statements in one transaction on a connection of the pool; all of them count, or none. */
export async function inTransaction<T>(pool: Pool, work: (db: Database) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let unusable: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    // The first error is the one to tell; a connection that can't roll back is not used again.
    await client.query('rollback').catch((broken: unknown) => (unusable = toError(broken)));
    throw error;
  } finally {
    client.release(unusable);
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
