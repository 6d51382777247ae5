import { Pool, type QueryConfig } from 'pg';
import type { Database } from './statements/names.ts';

/**
 * Settings of the queue's own connections. Its statements are few and always find their rows through the same indexes; the
 * planner only changes its mind when its statistics are wrong, which for a table that fills and empties within minutes they
 * mostly are. So it plans once, and never to read a whole table.
 */
const steady =
  'set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off';

/** What a connection of the queue's own begins with. PostgreSQL itself gives a statement up after the timeout, so that none goes on that nobody waits for. */
export function settings(timeoutMs: number): string {
  return `${steady}; set statement_timeout = ${Math.round(timeoutMs)}`;
}

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
  readonly #timeoutSeconds: number;
  #pool: Pool | null = null;

  /** @param timeoutSeconds A statement that takes longer is given up: its connection may be dead, and nothing would ever tell. */
  constructor(like: Pool, timeoutSeconds: number) {
    this.#like = like;
    this.#timeoutSeconds = timeoutSeconds;
  }

  query(text: string, values?: unknown[]): ReturnType<Database['query']> {
    this.#pool ??= open(this.#like, this.#timeoutSeconds * 1_000);
    return this.#pool.query<Record<string, unknown>>(prepared(text, values));
  }

  /** Closes what is open. A later query opens again. */
  async end(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    await pool?.end();
  }
}

function open(like: Pool, timeoutMs: number): Pool {
  const own = new Pool({
    ...like.options,
    password: like.options.password,
    max: 2,
    idleTimeoutMillis: 10_000,
    keepAlive: true,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    // A pool's `connect` event does not wait; this does.
    // oxlint-disable-next-line typescript/no-misused-promises -- pg-pool awaits it, whatever its types say
    onConnect: async (client) => void (await client.query(settings(timeoutMs))),
  });
  own.on('error', () => undefined); // the pool opens another one
  own.on('connect', (client) => void client.on('error', () => undefined)); // rejects the query in progress as well
  return own;
}
