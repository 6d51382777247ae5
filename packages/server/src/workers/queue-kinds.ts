import type { App, Worker } from '@slipway/app';
import { taskKind, type TaskKind } from '@slipway/queue';
import type { Pool } from 'pg';
import { z } from 'zod';
import { environmentTable, type EnvironmentRow } from '../database/records.ts';
import { row, rows } from '../database/sql.ts';
import type { Changes } from '../events/changes.ts';
import { ceilingOf, type SizeCeiling } from './ceiling.ts';
import { queueName } from './queue-name.ts';

/** The queues of one environment, as the releases in its plan declare them. */
export interface EnvironmentQueues {
  id: string;
  app: string;
  name: string;
  workers: ReadonlyMap<string, Worker>;
  /** The largest size that their lanes may have. */
  ceiling: SizeCeiling;
  /** By name of the queue. */
  kinds: ReadonlyMap<string, TaskKind<unknown>>;
}

/** Any JSON: what a payload looks like is between those who enqueue it and the worker. */
const anything = z.json();

/**
 * Knows the queues of each environment that is asked for, so that a request for tasks reads no rows of releases. What changes is
 * announced, and forgotten here.
 */
export class QueueKinds {
  readonly #context: { pool: Pool; changes: Changes };
  readonly #known = new Map<string, Promise<EnvironmentQueues | null>>();
  #off: (() => void)[] = [];

  constructor(context: { pool: Pool; changes: Changes }) {
    this.#context = context;
  }

  start(): Promise<void> {
    const { changes } = this.#context;
    // Announcements are seldom, so all of them are forgotten: the id says nothing about a name that is not known yet.
    this.#off = [changes.onEnvironment(() => this.#known.clear()), changes.onReconnected(() => this.#known.clear())];
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const off of this.#off) off();
    this.#off = [];
    this.#known.clear();
    return Promise.resolve();
  }

  /** null: there is no such environment. */
  async of(app: string, environment: string): Promise<EnvironmentQueues | null> {
    const name = `${app}/${environment}`;
    const known = this.#known.get(name);
    if (known) return await known;
    const found = readQueues(this.#context, app, environment);
    this.#known.set(name, found);
    // Neither a fault nor an absence is worth remembering.
    const forget = (): void => {
      if (this.#known.get(name) === found) this.#known.delete(name);
    };
    found.then((queues) => queues ?? forget(), forget);
    return await found;
  }
}

async function readQueues({ pool }: { pool: Pool }, app: string, name: string): Promise<EnvironmentQueues | null> {
  const environment = await row<Pick<EnvironmentRow, 'id' | 'appId' | 'plan' | 'policy'>>(
    pool,
    `select environment.id, environment.app_id as "appId", environment.plan, environment.policy from ${environmentTable}
     where app.name = $1 and environment.name = $2 and environment.removal in ('none', 'waiting')`,
    [app, name],
  );
  if (!environment) return null;
  const planned = environment.plan?.releases ?? [];
  const definitions = await rows<{ number: number; definition: App }>(
    pool,
    `select number, definition from release where app_id = $1 and number = any($2)`,
    [environment.appId, planned.map(({ number }) => number)],
  );
  const weight = (release: number): number => planned.find(({ number }) => number === release)?.weight ?? 0;
  // What serves decides; a worker that only the coming release has may get its first tasks from it.
  const byWeight = definitions.toSorted((a, b) => weight(a.number) - weight(b.number));
  const workers = new Map(byWeight.flatMap(({ definition }) => Object.entries(definition.workers)));
  const kinds = new Map(
    [...workers].map(([worker, declared]) => {
      const queue = queueName({ app, name }, worker);
      return [queue, kindOf(queue, declared)] as const;
    }),
  );
  return { id: environment.id, app, name, workers, ceiling: ceilingOf(environment), kinds };
}

function kindOf(queue: string, worker: Worker): TaskKind<unknown> {
  const { rate } = worker;
  return taskKind<unknown>({
    name: queue,
    payload: anything,
    retries: worker.retries,
    fallback: worker.fallback === null ? 'none' : 'bigger',
    keyConcurrency: worker.keyLimit,
    keepSeconds: worker.keep,
    ...(rate !== null && { rate: { limit: rate, burst: Math.max(1, rate) } }),
  });
}
