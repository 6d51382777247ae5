import type { Context } from '../context.ts';
import type { RolloutRow } from '../database/records.ts';
import { row, transaction } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { loadRollout } from './transitions.ts';
import { wakeRollout } from './create.ts';

/** Tells, once, that a rollout waits for a person. */
export async function sayThatItWaits(context: Context, rollout: RolloutRow): Promise<void> {
  const said = await row(
    context.pool,
    `select id from event where rollout_id = $1 and kind = 'rollout.waiting' limit 1`,
    [rollout.id],
  );
  if (said) return;
  await appendEvent(context.pool, {
    kind: 'rollout.waiting',
    appId: rollout.appId,
    environmentId: rollout.environmentId,
    rolloutId: rollout.id,
    sha: rollout.sha,
    message: `${rollout.environment}: rollout ${rollout.id} of ${rollout.sha.slice(0, 8)} waits for approval by an admin: slipway approve ${rollout.id}`,
  });
}

/**
 * A person approves a waiting rollout. Approving one that has its approval, or has ended, changes nothing.
 *
 * @returns the rollout as it is now.
 */
export async function approve(context: Context, rollout: RolloutRow, actor: string): Promise<RolloutRow> {
  await transaction(context.pool, async (client) => {
    const given = await row(
      client,
      `update rollout set approval = 'given' where id = $1 and approval = 'required' and state = 'waiting' returning id`,
      [rollout.id],
    );
    if (!given) return;
    await appendEvent(client, {
      kind: 'rollout.approved',
      appId: rollout.appId,
      environmentId: rollout.environmentId,
      rolloutId: rollout.id,
      sha: rollout.sha,
      actor,
      message: `${actor} approved rollout ${rollout.id} of ${rollout.sha.slice(0, 8)} to ${rollout.environment}.`,
    });
    await announceEnvironment(client, rollout.environmentId);
    await wakeRollout(context, client, { ...rollout, approval: 'given' });
  });
  return await loadRollout(context, rollout.id);
}
