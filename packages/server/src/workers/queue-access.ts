import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Pool } from 'pg';
import type { Plan } from '@slipway/engine';
import { row, theRow, type Database } from '../database/sql.ts';

/** The variables by which the processes of an environment reach its queues. */
export const urlVariable = 'SLIPWAY_QUEUE_URL';
export const tokenVariable = 'SLIPWAY_QUEUE_TOKEN';

/**
 * Tokens by which the processes of an environment use its queues, and no other's. They are made from a key and the environment's name, so
 * none is stored anywhere but where the engine keeps it for the processes: not in plans, which are rows here.
 */
export class QueueAccess {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @param environment `APP/ENVIRONMENT`. */
  token(environment: string): string {
    return `slq_${createHmac('sha256', this.#key).update(`queue ${environment}`).digest('base64url')}`;
  }

  /** Whether a token opens the queues of this environment. Takes the same time whatever is wrong with it. */
  opens(environment: string, token: string): boolean {
    const expected = createHmac('sha256', this.#key).update(this.token(environment)).digest();
    return timingSafeEqual(expected, createHmac('sha256', this.#key).update(token).digest());
  }

  /** A plan as the engine is told it: with the token, where processes are told of queues. */
  withToken(plan: Plan): Plan {
    const token = this.token(plan.environment);
    return {
      ...plan,
      releases: plan.releases.map((release) => ({
        ...release,
        variables: this.withTokenIn(release.variables, token),
      })),
    };
  }

  /** Adds the token beside the URL of the queues; variables without one stay as they are. */
  withTokenIn(variables: Record<string, string>, token: string): Record<string, string> {
    return variables[urlVariable] === undefined ? variables : { ...variables, [tokenVariable]: token };
  }
}

/** The key is made once for a database, whoever comes first: control planes that share it accept each other's tokens. */
export async function openQueueAccess(pool: Pool): Promise<QueueAccess> {
  await pool.query(`insert into setting (name, value) values ('queue-key', $1) on conflict (name) do nothing`, [
    randomBytes(32).toString('base64url'),
  ]);
  const { value } = await theRow<{ value: string }>(pool, `select value from setting where name = 'queue-key'`);
  return new QueueAccess(Buffer.from(value, 'base64url'));
}

/** Writes down where the control plane answers processes on this machine. */
export async function tellWhereWeAnswer(pool: Pool, url: string): Promise<void> {
  await pool.query(
    `insert into setting (name, value) values ('url', $1) on conflict (name) do update set value = excluded.value
     where setting.value <> excluded.value`,
    [url],
  );
}

/**
 * Where the queues of an environment are used over HTTP.
 *
 * @param base where its engine's processes reach the control plane; null: as processes on this machine do.
 */
export async function queueUrl(
  db: Database,
  environment: { app: string; name: string },
  base: string | null,
): Promise<string> {
  if (base !== null) return `${base}/queues/${environment.app}/${environment.name}`;
  const found = await row<{ value: string }>(db, `select value from setting where name = 'url'`);
  // A worker process may plan before any server has ever answered: the first server to start plans again.
  return `${found?.value ?? 'http://127.0.0.1'}/queues/${environment.app}/${environment.name}`;
}
