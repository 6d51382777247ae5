import { Client, DatabaseError, type Pool } from 'pg';
import { transactionOn } from './in-transaction.ts';
import { prepared, settings } from './prepared.ts';
import type { Database } from './statements/names.ts';

export interface LinkOptions {
  pool: Pool;
  channel: string;
  /** A statement that takes longer means that the connection is dead. */
  timeoutSeconds: number;
  /** After every connect, before anything else uses the link; a failure counts as a failed connect. */
  onConnect: (db: Database) => Promise<void>;
  onNotification: (payload: string) => void;
  /** It broke; the next try is in `retryInMs`. */
  onBroken: (error: Error, retryInMs: number) => void;
}

/** A cancelled statement's answer takes so long at most. */
const ANSWER_MS = 500;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;

/**
 * The one connection a queue keeps open: it listens, beats and claims, so that an idle queue holds one backend and picks a
 * task up without connecting first.
 *
 * | state | meaning | leaves it by |
 * | --- | --- | --- |
 * | closed | before `start`, after `stop`, or broken: the next try is timed or under way; `query` rejects | `#open` -> open |
 * | open   | it works | `#broke`, `stop` -> closed |
 */
export class Link implements Database {
  readonly #options: LinkOptions;
  #client: Client | null = null;
  #stopped = true;
  #retryMs = FIRST_RETRY_MS;
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get state(): 'open' | 'closed' {
    return this.#client === null ? 'closed' : 'open';
  }

  /** @throws when the first connect fails; later ones are tried again for as long as it takes. */
  async start(): Promise<void> {
    this.#stopped = false;
    try {
      await this.#open();
    } catch (error) {
      this.#stopped = true;
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = null;
    if (client !== null) await hangUp(client);
  }

  /** One statement after the other, in the order of the calls. */
  query(text: string, values?: unknown[]): ReturnType<Database['query']> {
    const result = this.#last.then(() => this.#query(text, values));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Statements that belong together, with nothing in between. */
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    const result = this.#last.then(() =>
      transactionOn<Database, T>({ query: (text, values) => this.#query(text, values) }, work),
    );
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #query(text: string, values?: unknown[]): ReturnType<Database['query']> {
    const client = this.#client;
    if (client === null) throw new Error('the queue is not connected to PostgreSQL');
    try {
      return await client.query<Record<string, unknown>>(prepared(text, values));
    } catch (error) {
      // What PostgreSQL refuses leaves the connection whole. The rest does not: it ended, or gave no answer in time.
      if (error instanceof Error && !(error instanceof DatabaseError)) this.#broke(client, error);
      throw error;
    }
  }

  async #open(): Promise<void> {
    const { pool, channel, timeoutSeconds, onConnect, onNotification } = this.#options;
    const client = new Client({
      ...pool.options,
      password: pool.options.password,
      keepAlive: true,
      connectionTimeoutMillis: timeoutSeconds * 1_000,
      // Longer than PostgreSQL's own, so that a statement that takes too long does not cost the connection.
      query_timeout: timeoutSeconds * 1_000 + ANSWER_MS,
    });
    client.on('error', (error) => this.#broke(client, error));
    client.on('end', () => this.#broke(client, new Error('the connection to PostgreSQL ended')));
    client.on('notification', ({ payload }) => {
      if (payload !== undefined && client === this.#client) onNotification(payload);
    });
    try {
      await client.connect();
      await client.query(`${settings(timeoutSeconds * 1_000)}; listen "${channel}"`);
      await onConnect({ query: (text, values) => client.query<Record<string, unknown>>(text, values) });
    } catch (error) {
      void hangUp(client);
      throw error;
    }
    if (this.#stopped) {
      await hangUp(client);
      return;
    }
    this.#client = client;
    this.#retryMs = FIRST_RETRY_MS;
  }

  async #reopen(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      this.#retry(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #broke(client: Client, error: Error): void {
    if (client !== this.#client) return;
    this.#client = null;
    void hangUp(client);
    this.#retry(error);
  }

  #retry(error: Error): void {
    if (this.#stopped) return;
    const pause = this.#retryMs * (0.8 + 0.4 * Math.random());
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    this.#options.onBroken(error, pause);
    this.#timer = setTimeout(() => void this.#reopen(), pause);
  }
}

async function hangUp(client: Client): Promise<void> {
  await client.end().catch(() => undefined); // it may be broken already
}
