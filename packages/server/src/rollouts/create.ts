import type { PoolClient } from 'pg';
import type { EnvironmentRow, RolloutKind, RolloutRow } from '../database/records.ts';
import { rolloutColumns, rolloutTable } from '../database/records.ts';
import type { Context } from '../context.ts';
import { row, theRow } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { enqueueExpiry, enqueueRollout } from '../tasks.ts';
import { claimEnvironment, lockEnvironment } from './transitions.ts';

export interface NewRollout {
  environment: EnvironmentRow;
  kind: RolloutKind;
  cause: 'automatic' | 'person';
  sha: string;
  actor: string;
  checks: 'wait' | 'skip';
  /** Given: whoever asks may approve. */
  approval?: 'given';
  /** For a rollback: the frozen release to go back to. */
  release?: number;
}

/**
 * Records the wish to move an environment and enqueues the task that does it, in the caller's transaction. Holds the environment from
 * here to the end of it, so that ids of its rollouts have the order in which they appear.
 */
export async function createRollout(
  context: Pick<Context, 'queue' | 'forge'>,
  client: PoolClient,
  wish: NewRollout,
): Promise<RolloutRow> {
  const { environment } = wish;
  const { removal } = await lockEnvironment(client, environment.id);
  const approval =
    environment.policy.approve && wish.kind !== 'rollback'
      ? wish.approval === 'given'
        ? 'given'
        : 'required'
      : 'none';
  const step = wish.kind === 'rollback' ? `goes back to release ${wish.release}` : 'waits for the checks';
  const { id } = await theRow<{ id: string }>(
    client,
    `insert into rollout (app_id, environment_id, kind, cause, phase, step, sha, release, approval, checks, actor)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id`,
    [
      environment.appId,
      environment.id,
      wish.kind,
      wish.cause,
      wish.kind === 'rollback' ? 'start' : 'checks',
      step,
      wish.sha,
      wish.release ?? null,
      approval,
      wish.checks,
      wish.actor,
    ],
  );
  await appendEvent(client, {
    kind: 'rollout.created',
    appId: environment.appId,
    environmentId: environment.id,
    rolloutId: id,
    sha: wish.sha,
    actor: wish.actor,
    message: `${environment.name}: rollout ${id} is to ${purpose(wish)}.`,
    data: { kind: wish.kind },
  });
  await announceEnvironment(client, environment.id);
  await extendLife(context, client, environment);
  const rollout = await theRow<RolloutRow>(
    client,
    `select ${rolloutColumns} from ${rolloutTable} where rollout.id = $1`,
    [id],
  );
  // Marked since the caller looked: the wish ends at once, and says why.
  if (removal === 'removing' || removal === 'removed') await claimEnvironment(context, client, rollout);
  else await wakeRollout(context, client, rollout);
  return rollout;
}

/**
 * Enqueues the task that moves a rollout. One that can go ahead now ends the older ones here, because their task, which
 * may be waiting for a slow start, runs under the same key and would not let this one's begin.
 */
export async function wakeRollout(
  context: Pick<Context, 'queue' | 'forge'>,
  client: PoolClient,
  rollout: RolloutRow,
): Promise<void> {
  if (await canGoAhead(client, rollout)) await claimEnvironment(context, client, rollout);
  await enqueueRollout(context.queue, client, rollout);
}

async function canGoAhead(client: PoolClient, rollout: RolloutRow): Promise<boolean> {
  if (rollout.approval === 'required') return false;
  if (rollout.kind === 'rollback') return true;
  const commit = await row<{ state: string; artifact: string | null }>(
    client,
    `select state, artifact from commit where app_id = $1 and sha = $2`,
    [rollout.appId, rollout.sha],
  );
  return commit?.state === 'passed' || (rollout.checks === 'skip' && commit?.artifact != null);
}

function purpose(wish: NewRollout): string {
  switch (wish.kind) {
    case 'deploy':
      return `deploy ${wish.sha.slice(0, 8)}`;
    case 'promote':
      return `promote ${wish.sha.slice(0, 8)} from ${wish.environment.policy.from}`;
    case 'rollback':
      return `roll back to release ${wish.release}`;
  }
}

/** A preview lives for its `ttl` from the newest rollout on. */
async function extendLife(
  context: Pick<Context, 'queue'>,
  client: PoolClient,
  environment: EnvironmentRow,
): Promise<void> {
  if (environment.kind !== 'pull-request' || environment.policy.ttl === null) return;
  const { expiresAt } = await theRow<{ expiresAt: Date }>(
    client,
    `update environment set expires_at = now() + make_interval(secs => $2) where id = $1 returning expires_at as "expiresAt"`,
    [environment.id, environment.policy.ttl],
  );
  await enqueueExpiry(context.queue, client, { id: environment.id, expiresAt });
}
