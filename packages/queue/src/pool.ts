import { Pool } from 'pg';

export interface ConnectOptions {
  /** Connections at most. Default 10. */
  max?: number;
  /** An idle connection broke (the server was restarted). Nothing is lost; the pool opens a new one when it needs one. */
  onError?: (error: Error) => void;
  /** Shown in `pg_stat_activity`. Default `slipway`. */
  name?: string;
  /** What a process does that has idle connections and nothing else: `exit`, or `wait` (default) until they close. */
  alone?: 'exit' | 'wait';
}

const IDLE_SECONDS = 10;

/**
 * A pool whose broken connections never end the process, and which closes connections that are idle, so that a quiet
 * system holds few of them.
 */
export function connectPool(url: string, options: ConnectOptions = {}): Pool {
  const pool = new Pool({
    connectionString: url,
    max: options.max ?? 10,
    idleTimeoutMillis: IDLE_SECONDS * 1_000,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    allowExitOnIdle: options.alone === 'exit',
    application_name: options.name ?? 'slipway',
  });
  pool.on('error', (error) => options.onError?.(error));
  // While it is checked out a broken connection rejects the query in progress; without a listener it would also end the process.
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}
