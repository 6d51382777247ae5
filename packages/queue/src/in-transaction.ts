import type { Pool, PoolClient } from 'pg';
import type { Database } from './statements/names.ts';

/** Runs statements in one transaction on a connection of the pool; all of them count, or none. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let unusable: Error | undefined;
  try {
    return await transactionOn(client, work, (broken) => (unusable = broken));
  } finally {
    client.release(unusable);
  }
}

/**
 * The same on one connection.
 *
 * @param onStuck It could not roll back either: the connection must not be used again.
 */
export async function transactionOn<D extends Database, T>(
  connection: D,
  work: (connection: D) => Promise<T>,
  onStuck: (error: Error) => void = () => undefined,
): Promise<T> {
  await connection.query('begin');
  try {
    const result = await work(connection);
    await connection.query('commit');
    return result;
  } catch (error) {
    // The first error is the one to tell.
    await connection.query('rollback').catch((stuck: unknown) => onStuck(toError(stuck)));
    throw error;
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
