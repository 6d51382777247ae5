import { Pool, type QueryConfig } from 'pg';
import type { Database } from './statements/names.ts';

/**
 * Settings of the queue's own connections. Its statements are few and always find their rows through the same indexes; the
 * planner only changes its mind when its statistics are wrong, which for a table that fills and empties within minutes they
 * mostly are. So it plans once, and never to read a whole table.
 */
export const steady =
  'set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off';

const numbers = new Map<string, string>();

/** A statement under a name, so that PostgreSQL parses and plans it once a connection. */
export function prepared(text: string, values: unknown[] = []): QueryConfig {
  const name = numbers.get(text) ?? `slipway_${numbers.size}`;
  numbers.set(text, name);
  return { name, text, values };
}

/**
 * Few connections of the queue's own to the same server as a pool's, opened when they are needed and closed when they are
 * idle. Statements run under names.
 */
export class OwnConnections implements Database {
  readonly #like: Pool;
  #pool: Pool | null = null;

  constructor(like: Pool) {
    this.#like = like;
  }

  query(text: string, values?: unknown[]): ReturnType<Database['query']> {
    this.#pool ??= open(this.#like);
    return this.#pool.query<Record<string, unknown>>(prepared(text, values));
  }

  /** Closes what is open. A later query opens again. */
  async end(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    await pool?.end();
  }
}

function open(like: Pool): Pool {
  const own = new Pool({ ...like.options, password: like.options.password, max: 2, idleTimeoutMillis: 10_000 });
  own.on('error', () => undefined); // the pool opens another one
  own.on('connect', (client) => {
    client.on('error', () => undefined); // rejects the query in progress as well
    client.query(steady).catch(() => undefined); // done before the first statement: a connection does one after the other
  });
  return own;
}
