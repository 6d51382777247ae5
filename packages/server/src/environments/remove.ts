import { SlipwayError } from '@slipway/app';
import type { Context } from '../context.ts';
import { environmentColumns, environmentTable, type EnvironmentRow } from '../database/records.ts';
import { row, theRow, transaction } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { collectTask, environmentKey, removeTask } from '../tasks.ts';
import { markRemoving } from './declare.ts';

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
    await markRemoving(client, environment, actor, `${actor} asked for it`);
    await context.queue.enqueue(
      removeTask,
      { environmentId: environment.id },
      { client, key: environmentKey(environment.id), unique: `remove:${environment.id}` },
    );
  });
}

/** Stops and deletes everything of an environment that is marked as `removing`. Safe to run again at any point. */
export async function removeEnvironment(context: Context, { environmentId }: { environmentId: string }): Promise<void> {
  const environment = await theRow<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable} where environment.id = $1`,
    [environmentId],
  );
  if (environment.removal !== 'removing') return;
  await context.engine.remove(`${environment.app}/${environment.name}`);
  await transaction(context.pool, async (client) => {
    await client.query(
      `update rollout set state = 'cancelled', reason = 'the environment was removed', finished_at = now()
       where environment_id = $1 and state in ('waiting', 'running')`,
      [environmentId],
    );
    await client.query(
      `update environment set removal = 'removed', removed_at = now(), plan = null, expires_at = null, updated_at = now()
       where id = $1`,
      [environmentId],
    );
    await appendEvent(client, {
      kind: 'environment.removed',
      appId: environment.appId,
      environmentId,
      message: `${environment.name} is removed: nothing of it runs any more.`,
    });
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
    const environment = await row<EnvironmentRow>(
      client,
      `select ${environmentColumns} from ${environmentTable}
       where environment.id = $1 and environment.removal in ('none', 'waiting') and environment.expires_at <= now()
       for update of environment`,
      [environmentId],
    );
    if (!environment) return;
    await appendEvent(client, {
      kind: 'environment.expired',
      appId: environment.appId,
      environmentId,
      message: `Nothing was pushed to ${environment.branch ?? environment.name} for its time to live; a new push makes a new environment.`,
    });
    await markRemoving(client, environment, 'slipway', 'its time to live is over');
    await context.queue.enqueue(
      removeTask,
      { environmentId },
      { client, key: environmentKey(environmentId), unique: `remove:${environmentId}` },
    );
  });
}
