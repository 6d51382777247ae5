import type { PoolClient } from 'pg';
import { SlipwayError } from '@slipway/app';
import type { Context } from '../context.ts';
import { environmentColumns, environmentTable, type EnvironmentRow } from '../database/records.ts';
import { row, theRow, transaction } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { cancelOpenRollouts } from '../rollouts/transitions.ts';
import { forgetWorkers } from '../workers/scale.ts';
import { collectTask, enqueueExpiry, enqueueRemoval, enqueueSchedules } from '../tasks.ts';

/**
 * A person wants an environment gone.
 *
 * @param confirm the environment's name, typed: protected environments need it.
 * @throws {SlipwayError} `conflict` when the name is needed and not given.
 */
export async function askToRemove(
  context: Context,
  environment: EnvironmentRow,
  actor: string,
  confirm: string | null,
): Promise<void> {
  if (environment.removal === 'removing') return;
  if (environment.kind !== 'pull-request' && confirm !== environment.name) {
    const why = environment.policy.protected ? 'is protected' : 'is not a preview';
    throw new SlipwayError('conflict', `${environment.name} ${why}: removing it needs its name typed.`, {
      hint: `slipway remove ${environment.app}/${environment.name} --confirm ${environment.name}`,
    });
  }
  await transaction(context.pool, async (client) => {
    await markRemoving(context, client, environment, actor, `${actor} asked for it`);
  });
}

/**
 * From here on the environment is being removed: its rollouts end, no new one begins, and the `remove` task does the rest. Fine when it is
 * marked or removed already.
 */
export async function markRemoving(
  context: Pick<Context, 'queue'>,
  client: PoolClient,
  environment: EnvironmentRow,
  actor: string,
  reason: string,
): Promise<void> {
  const marked = await row(
    client,
    `update environment set removal = 'removing', updated_at = now()
     where id = $1 and removal in ('none', 'waiting') returning id`,
    [environment.id],
  );
  if (!marked) return;
  await appendEvent(client, {
    kind: 'environment.removing',
    appId: environment.appId,
    environmentId: environment.id,
    actor,
    message: `${environment.name} is being removed: ${reason}.`,
  });
  await cancelOpenRollouts(client, environment.id, 'the environment is being removed');
  await enqueueRemoval(context.queue, client, environment.id);
  await announceEnvironment(client, environment.id);
}

/** Stops and deletes everything of an environment that is marked as `removing`. Safe to run again at any point. */
export async function removeEnvironment(context: Context, { environmentId }: { environmentId: string }): Promise<void> {
  const environment = await theRow<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable} where environment.id = $1`,
    [environmentId],
  );
  if (environment.removal !== 'removing') return;
  // Where nothing was ever planned, nothing runs.
  if (environment.engine !== null)
    await context.engines.of(environment).engine.remove(`${environment.app}/${environment.name}`);
  await transaction(context.pool, async (client) => {
    const removed = await row(
      client,
      `update environment set removal = 'removed', removed_at = now(), plan = null, expires_at = null, updated_at = now()
       where id = $1 and removal = 'removing' returning id`,
      [environmentId],
    );
    if (!removed) return;
    await appendEvent(client, {
      kind: 'environment.removed',
      appId: environment.appId,
      environmentId,
      message: `${environment.name} is removed: nothing of it runs any more.`,
    });
    await forgetWorkers(client, environment);
    await enqueueSchedules(context.queue, client, environmentId);
    await announceEnvironment(client, environmentId);
    await context.queue.enqueue(
      collectTask,
      { appId: environment.appId },
      { client, unique: `collect:${environment.appId}` },
    );
  });
}

/** Removes a preview whose time is over. It was enqueued for a moment that a later push may have moved. */
export async function expireEnvironment(context: Context, { environmentId }: { environmentId: string }): Promise<void> {
  await transaction(context.pool, async (client) => {
    const environment = await row<EnvironmentRow & { over: boolean }>(
      client,
      `select ${environmentColumns}, environment.expires_at <= now() as over from ${environmentTable}
       where environment.id = $1 and environment.removal in ('none', 'waiting') and environment.expires_at is not null
       for no key update of environment`,
      [environmentId],
    );
    if (!environment?.expiresAt) return;
    if (!environment.over) {
      await enqueueExpiry(context.queue, client, { id: environmentId, expiresAt: environment.expiresAt });
      return;
    }
    await appendEvent(client, {
      kind: 'environment.expired',
      appId: environment.appId,
      environmentId,
      message: `Nothing was pushed to ${environment.branch ?? environment.name} for its time to live; a new push makes a new environment.`,
    });
    await markRemoving(context, client, environment, 'slipway', 'its time to live is over');
  });
}
