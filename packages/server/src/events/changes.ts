import { EventEmitter } from 'node:events';
import type { Pool, PoolClient } from 'pg';
import { newsChannel } from '@slipway/queue/scaling';
import { rows } from '../database/sql.ts';
import { tasksSchema } from '../workers/queue-name.ts';
import { changeChannel } from './append.ts';

export interface EventRow {
  id: number;
  at: Date;
  appId: string | null;
  app: string | null;
  environmentId: string | null;
  environment: string | null;
  rolloutId: string | null;
  sha: string | null;
  kind: string;
  message: string;
  actor: string;
  data: Record<string, unknown>;
}
export const eventColumns = `event.id::int, event.at, event.app_id as "appId", app.name as app,
  event.environment_id as "environmentId", environment.name as environment, event.rollout_id as "rolloutId",
  event.sha, event.kind, event.message, event.actor, event.data`;
export const eventTable = `event left join app on app.id = event.app_id left join environment on environment.id = event.environment_id`;

/** How many events are told apart from new ones after a lost connection. */
const remembered = 1_000;

interface ChangeMap {
  event: [EventRow];
  /** Id of an environment whose row, rollout, release or status changed. */
  environment: [string];
  /** Name of a cluster that was added, changed or taken away. */
  cluster: [string];
  /** Something was announced on the channel of the apps' tasks. */
  task: [string];
  /** The connection was lost and is back. */
  reconnected: [];
}

/**
 * Hears what other transactions committed, over one LISTEN connection, and tells it to whoever waits in this process. After a
 * lost connection it catches up from the newest event it has told, so that no event is skipped.
 */
export class Changes {
  readonly #pool: Pool;
  readonly #emitter = new EventEmitter<ChangeMap>({ captureRejections: false });
  #client: PoolClient | null = null;
  /** Announced, not told yet. By id and not by range: a transaction may commit after one that got a higher id. */
  readonly #announced = new Set<number>();
  /** Told lately, so that catching up tells nothing twice. */
  readonly #told = new Set<number>();
  /** The newest event there was at the start, and the newest one that was told. */
  #first = 0;
  #newest = 0;
  #listening: Promise<void> = Promise.resolve();
  #reading: Promise<void> | null = null;
  #stopped = true;
  #retry: NodeJS.Timeout | undefined;
  #retryRead: NodeJS.Timeout | undefined;
  readonly #log: (message: string) => void;

  constructor(pool: Pool, log: (message: string) => void) {
    this.#pool = pool;
    this.#log = log;
    this.#emitter.setMaxListeners(0);
  }

  async start(): Promise<void> {
    this.#stopped = false;
    const newest = await rows<{ id: number }>(this.#pool, `select coalesce(max(id), 0)::int as id from event`);
    this.#first = newest[0]?.id ?? 0;
    this.#newest = this.#first;
    await this.#listen();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#retryRead);
    const client = this.#client;
    this.#client = null;
    client?.release(true);
    await Promise.all([this.#listening, this.#reading]);
  }

  /** Calls `listener` for every event committed from now on. Returns the function that ends it. */
  onEvent(listener: (event: EventRow) => void): () => void {
    this.#emitter.on('event', listener);
    return () => this.#emitter.off('event', listener);
  }

  /** Calls `listener` with the id of each environment that changed. Returns the function that ends it. */
  onEnvironment(listener: (environmentId: string) => void): () => void {
    this.#emitter.on('environment', listener);
    return () => this.#emitter.off('environment', listener);
  }

  /** Calls `listener` with the name of each cluster that was added, changed or taken away. Returns the function that ends it. */
  onCluster(listener: (name: string) => void): () => void {
    this.#emitter.on('cluster', listener);
    return () => this.#emitter.off('cluster', listener);
  }

  /** Calls `listener` with each notification about tasks of apps. Returns the function that ends it. */
  onTask(listener: (notification: string) => void): () => void {
    this.#emitter.on('task', listener);
    return () => this.#emitter.off('task', listener);
  }

  /** Calls `listener` whenever the database is back after it was gone. Returns the function that ends it. */
  onReconnected(listener: () => void): () => void {
    this.#emitter.on('reconnected', listener);
    return () => this.#emitter.off('reconnected', listener);
  }

  /** Tells this process only: what an engine saw is not in the database. */
  environmentSeen(environmentId: string): void {
    this.#emitter.emit('environment', environmentId);
  }

  async #listen(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      client.on('notification', ({ channel, payload = '' }) => {
        if (channel === changeChannel) this.#notified(payload);
        else this.#emitter.emit('task', payload);
      });
      await client.query(`listen ${changeChannel}`);
      await client.query(`listen ${newsChannel(tasksSchema)}`);
      await this.#catchUp(client);
    } catch (error) {
      client.release(true);
      throw error;
    }
    if (this.#stopped) {
      client.release(true);
      return;
    }
    // From here on its loss is noticed; what was lost before made one of the statements above fail.
    this.#client = client;
    client.on('error', (error) => this.#lost(client, error));
    client.on('end', () => this.#lost(client, new Error('connection ended')));
  }

  #notified(payload: string): void {
    const [what, id = ''] = payload.split(':');
    if (what === 'environment') this.#emitter.emit('environment', id);
    else if (what === 'cluster') this.#emitter.emit('cluster', id);
    else {
      this.#announced.add(Number(id));
      this.#read();
    }
  }

  /** Announces what was committed while nobody listened. A transaction may have committed after one that got a higher id: those near the newest as well. */
  async #catchUp(client: PoolClient): Promise<void> {
    const missed = await rows<{ id: number }>(client, `select id::int from event where id > $1`, [
      Math.max(this.#first, this.#newest - remembered),
    ]);
    for (const { id } of missed) if (!this.#told.has(id)) this.#announced.add(id);
    this.#read();
  }

  #lost(client: PoolClient, error: Error): void {
    if (this.#client !== client) return;
    this.#client = null;
    client.release(true);
    if (this.#stopped) return;
    this.#log(`the connection that hears changes was lost (${error.message}); connecting again`);
    this.#reconnect(100);
  }

  #reconnect(delay: number): void {
    this.#retry = setTimeout(() => {
      if (this.#stopped) return;
      this.#listening = this.#listen().then(
        () => void this.#emitter.emit('reconnected'),
        () => this.#reconnect(Math.min(delay * 2, 5_000)),
      );
    }, delay);
  }

  /** Reads what was announced; one reader at a time, so that events are told in the order of their ids as far as it is known. */
  #read(): void {
    this.#reading ??= this.#readAnnounced().finally(() => {
      this.#reading = null;
    });
  }

  async #readAnnounced(): Promise<void> {
    while (this.#announced.size > 0 && !this.#stopped) {
      const ids = [...this.#announced];
      let found: EventRow[];
      try {
        found = await rows<EventRow>(
          this.#pool,
          `select ${eventColumns} from ${eventTable} where event.id = any($1) order by event.id`,
          [ids],
        );
      } catch (error) {
        // They stay announced, and are read again in a while, whether or not the listening connection was lost as well.
        this.#log(`events could not be read: ${error instanceof Error ? error.message : String(error)}`);
        this.#retryRead = setTimeout(() => this.#read(), 500);
        return;
      }
      for (const id of ids) this.#announced.delete(id);
      for (const event of found) this.#tell(event);
    }
  }

  #tell(event: EventRow): void {
    if (this.#told.has(event.id)) return;
    this.#told.add(event.id);
    const [oldest] = this.#told;
    if (oldest !== undefined && this.#told.size > remembered) this.#told.delete(oldest);
    this.#newest = Math.max(this.#newest, event.id);
    this.#emitter.emit('event', event);
  }
}
