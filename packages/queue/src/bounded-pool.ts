import type { Pool, QueryConfig } from 'pg';
import type { Database } from './statements/names.ts';

/**
 * A caller's pool for statements that nobody depends on: one that takes longer is given up, and its connection closed. The pool itself may
 * have no limit, and on a connection that hangs they would keep it, and whoever waits for the pool to end, for ever.
 */
export function boundedPool(pool: Pool, seconds: number): Database {
  return {
    query: (text, values = []) => {
      const config: QueryConfig & { query_timeout: number } = { text, values, query_timeout: seconds * 1_000 };
      return pool.query<Record<string, unknown>>(config);
    },
  };
}
