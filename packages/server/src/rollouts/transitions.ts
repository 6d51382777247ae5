import type { PoolClient } from 'pg';
import type { Context } from '../context.ts';
import {
  rolloutColumns,
  rolloutTable,
  type EnvironmentRow,
  type ReleaseRow,
  type RolloutPhase,
  type RolloutRow,
  type RolloutState,
} from '../database/records.ts';
import { row, rows, theRow, transaction, type Database } from '../database/sql.ts';
import { announceEnvironment, appendEvent, changeChannel } from '../events/append.ts';
import { collectTask, enqueueSchedules, maintainTask } from '../tasks.ts';

/**
 * The only statements that change a rollout's state or phase. Each checks the state it comes from, so a late writer changes nothing.
 * Whatever ends a rollout locks its environment first, so that two that end each other's never wait in a circle.
 */

/** Thrown where a rollout finds that its end is recorded already. */
export class RolloutEnded extends Error {
  constructor() {
    super('the rollout has ended');
    this.name = 'RolloutEnded';
  }
}

export async function loadRollout(context: Pick<Context, 'pool'>, id: string): Promise<RolloutRow> {
  return await theRow(context.pool, `select ${rolloutColumns} from ${rolloutTable} where rollout.id = $1`, [id]);
}

/**
 * Locks the row of an environment until the transaction ends. Not `for update`, which would hold up every event that is told of it.
 *
 * @returns the row as it is now.
 */
export async function lockEnvironment(
  client: PoolClient,
  id: string,
): Promise<Pick<EnvironmentRow, 'removal' | 'currentRelease' | 'heldCommit'>> {
  return await theRow(
    client,
    `select removal, current_release as "currentRelease", held_commit as "heldCommit" from environment
     where id = $1 for no key update`,
    [id],
  );
}

/** Enters the next phase. @throws {RolloutEnded} */
export async function moveTo(
  context: Context,
  rollout: RolloutRow,
  phase: RolloutPhase,
  step: string,
): Promise<RolloutRow> {
  const moved = await row<RolloutRow>(
    context.pool,
    `with moved as (
       update rollout set phase = $2, step = $3 where id = $1 and state in ('waiting', 'running') returning *)
     select ${rolloutColumns}, pg_notify('${changeChannel}', 'environment:' || environment.id)
     from moved as ${rolloutTable}`,
    [rollout.id, phase, step],
  );
  if (!moved) throw new RolloutEnded();
  return moved;
}

/**
 * From here on it is this rollout that moves the environment: older ones that wait or run are superseded, and an environment
 * that is being removed takes no new release.
 *
 * @throws {RolloutEnded} when something newer runs already.
 */
export async function beginRunning(context: Context, rollout: RolloutRow): Promise<RolloutRow> {
  if (rollout.state === 'running') return rollout;
  await transaction(context.pool, async (client) => {
    await claimEnvironment(context, client, rollout);
    await client.query(
      `update rollout set state = 'running', started_at = coalesce(started_at, now())
       where id = $1 and state = 'waiting'`,
      [rollout.id],
    );
    await announceEnvironment(client, rollout.environmentId);
  });
  const now = await loadRollout(context, rollout.id);
  if (now.state !== 'running') throw new RolloutEnded();
  return now;
}

/**
 * Makes this rollout the only one its environment is about: older ones end as superseded, at once, even while they run. But never
 * backwards: when one of them carries a descendant of this commit, it is this one that ends.
 */
export async function claimEnvironment(
  context: Pick<Context, 'forge'>,
  client: PoolClient,
  rollout: RolloutRow,
): Promise<void> {
  const environment = await lockEnvironment(client, rollout.environmentId);
  if (environment.removal === 'removing' || environment.removal === 'removed') {
    await setEnd(client, rollout, 'cancelled', 'the environment is being removed');
    return;
  }
  const open = await openRollouts(client, rollout.environmentId);
  const older = open.filter(({ id }) => Number(id) < Number(rollout.id));
  for (const other of older) {
    const isOlderCommit =
      other.state === 'running' &&
      rollout.kind !== 'rollback' &&
      other.kind !== 'rollback' &&
      rollout.sha !== other.sha &&
      (await context.forge.isAncestor(rollout.app, rollout.sha, other.sha));
    if (isOlderCommit) {
      await setEnd(
        client,
        rollout,
        'superseded',
        `rollout ${other.id} brings ${other.sha.slice(0, 8)}, which is newer`,
      );
      return;
    }
  }
  for (const other of older)
    await setEnd(client, other, 'superseded', `rollout ${rollout.id} (${rollout.sha.slice(0, 8)}) goes there instead`);
}

/** The environment goes away: nothing moves it any more. The caller holds its lock. */
export async function cancelOpenRollouts(client: PoolClient, environmentId: string, reason: string): Promise<void> {
  for (const rollout of await openRollouts(client, environmentId)) await setEnd(client, rollout, 'cancelled', reason);
}

async function openRollouts(client: PoolClient, environmentId: string): Promise<RolloutRow[]> {
  return await rows<RolloutRow>(
    client,
    `select ${rolloutColumns} from ${rolloutTable}
     where rollout.environment_id = $1 and rollout.state in ('waiting', 'running') order by rollout.id`,
    [environmentId],
  );
}

/** Records that a rollout did not reach its aim. A failed one shows at its environment until something newer succeeds. */
export async function endRollout(
  context: Context,
  rollout: RolloutRow,
  state: Exclude<RolloutState, 'waiting' | 'running' | 'succeeded'>,
  reason: string,
  data: { lastLines?: string[] } = {},
): Promise<void> {
  await transaction(context.pool, async (client) => {
    await lockEnvironment(client, rollout.environmentId);
    await setEnd(client, rollout, state, reason, data);
  });
}

async function setEnd(
  db: Database,
  rollout: RolloutRow,
  state: Exclude<RolloutState, 'waiting' | 'running' | 'succeeded'>,
  reason: string,
  data: { lastLines?: string[] } = {},
): Promise<void> {
  const ended = await row<{ currentRelease: number | null }>(
    db,
    `update rollout set state = $2, reason = $3, finished_at = now() from environment
     where rollout.id = $1 and rollout.state in ('waiting', 'running') and environment.id = rollout.environment_id
     returning environment.current_release as "currentRelease"`,
    [rollout.id, state, reason],
  );
  if (!ended) return;
  const keeps =
    ended.currentRelease === null ? 'Nothing runs there yet.' : `Release ${ended.currentRelease} keeps serving.`;
  const verb = { failed: 'failed', superseded: 'was superseded', cancelled: 'was cancelled' }[state];
  const next =
    state === 'failed'
      ? ` ${keeps} Push a fix; the whole story: slipway why ${rollout.app}/${rollout.environment}`
      : '';
  if (state === 'failed')
    await db.query(`update environment set failure = $2, updated_at = now() where id = $1`, [
      rollout.environmentId,
      withLastLines(reason, data.lastLines ?? []),
    ]);
  await appendEvent(db, {
    kind: `rollout.${state}`,
    appId: rollout.appId,
    environmentId: rollout.environmentId,
    rolloutId: rollout.id,
    sha: rollout.sha,
    message:
      `${rollout.environment}: rollout ${rollout.id} of ${rollout.sha.slice(0, 8)} ${verb}: ${reason}.${next}`.replace(
        /\.\.(?= |$)/,
        '.',
      ),
    data: { ...data, release: rollout.release },
  });
  await announceEnvironment(db, rollout.environmentId);
}

/** A reason as status shows it: the sentence, then the end of what the process wrote, a line each. */
export function withLastLines(reason: string, lastLines: readonly string[]): string {
  return [reason, ...lastLines.slice(-5)].join('\n');
}

/** The new release serves. */
export async function succeed(context: Context, rollout: RolloutRow, release: ReleaseRow): Promise<void> {
  await transaction(context.pool, async (client) => {
    const before = await lockEnvironment(client, rollout.environmentId);
    const ended = await row(
      client,
      `update rollout set state = 'succeeded', phase = 'done', step = 'done', finished_at = now()
       where id = $1 and state = 'running' returning id`,
      [rollout.id],
    );
    if (!ended) throw new RolloutEnded();
    await client.query(
      `update environment set current_release = $2, failure = null, held_commit = $3, activity = 'awake', updated_at = now() where id = $1`,
      // A rollback holds automatic deploys until a commit comes that is newer than the one it left, also when a second one goes
      // further back; anything else ends the hold.
      [
        rollout.environmentId,
        release.number,
        rollout.kind === 'rollback'
          ? (before.heldCommit ?? (await shaOf(client, rollout, before.currentRelease)))
          : null,
      ],
    );
    await client.query(`update release set served_at = coalesce(served_at, now()) where app_id = $1 and number = $2`, [
      rollout.appId,
      release.number,
    ]);
    await appendEvent(client, {
      kind: 'rollout.succeeded',
      appId: rollout.appId,
      environmentId: rollout.environmentId,
      rolloutId: rollout.id,
      sha: rollout.sha,
      message: `${rollout.environment}: release ${release.number} (${release.sha.slice(0, 8)}) is ready.`,
      data: { release: release.number, before: before.currentRelease },
    });
    if (rollout.kind === 'rollback')
      await appendEvent(client, {
        kind: 'environment.held',
        appId: rollout.appId,
        environmentId: rollout.environmentId,
        rolloutId: rollout.id,
        message: `${rollout.environment} is held at release ${release.number}: automatic deploys wait for a newer commit. To deploy anyway: slipway deploy ${rollout.app}/${rollout.environment} --commit SHA`,
      });
    await announceEnvironment(client, rollout.environmentId);
    await context.queue.enqueue(
      collectTask,
      { appId: rollout.appId },
      { client, unique: `collect:${rollout.appId}`, delaySeconds: 60 },
    );
    await enqueueSchedules(context.queue, client, rollout.environmentId);
    await context.queue.enqueue(
      maintainTask,
      { app: rollout.app },
      { client, unique: `maintain:${rollout.app}`, delaySeconds: 24 * 3600 },
    );
  });
}

async function shaOf(db: Database, { appId }: RolloutRow, release: number | null): Promise<string | null> {
  const found = await row<{ sha: string }>(db, `select sha from release where app_id = $1 and number = $2`, [
    appId,
    release,
  ]);
  return found?.sha ?? null;
}

/** A signal that aborts when somebody else records the end of this rollout. Watch before reading the row: no end comes in between. */
export function watchForEnd(context: Context, rolloutId: string): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  const off = context.changes.onEvent((event) => {
    const isEnd = ['rollout.superseded', 'rollout.cancelled', 'rollout.failed'].includes(event.kind);
    if (isEnd && event.rolloutId === rolloutId) controller.abort(new RolloutEnded());
  });
  return { signal: controller.signal, stop: off };
}
