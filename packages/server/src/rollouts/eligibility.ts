import { SlipwayError } from '@slipway/app';
import type { Context } from '../context.ts';
import { commitColumns, type CommitRow, type EnvironmentKind, type RolloutRow } from '../database/records.ts';
import { row, rows, theRow } from '../database/sql.ts';
import { announceEnvironment } from '../events/append.ts';
import { endRollout } from './transitions.ts';

interface Ground {
  kind: EnvironmentKind;
  currentRelease: number | null;
  currentSha: string | null;
  heldCommit: string | null;
  branch: string | null;
  /** Where the environment's branch is now; null when it is gone or there is none. */
  head: string | null;
}

/**
 * Decides whether a rollout may leave the phase `checks`. Ends it when it never may; otherwise says in its `step` what it waits for.
 *
 * @returns true when the commit is built, its checks passed, and it is not older than what runs.
 */
export async function mayRelease(context: Context, rollout: RolloutRow): Promise<boolean> {
  const commit = await theRow<CommitRow>(
    context.pool,
    `select ${commitColumns} from commit where app_id = $1 and sha = $2`,
    [rollout.appId, rollout.sha],
  );
  const refusal = await whyNot(context, rollout);
  if (refusal) {
    await endRollout(context, rollout, refusal.state, refusal.reason);
    return false;
  }
  const builtIsEnough = rollout.checks === 'skip';
  if (builtIsEnough && commit.artifact !== null) return true;
  switch (commit.state) {
    case 'passed':
      return true;
    case 'failed':
      await endRollout(context, rollout, 'failed', commit.reason ?? 'the commit can not be released');
      return false;
    case 'received':
    case 'preparing':
      await saySo(context, rollout, 'waits for the build');
      return false;
    case 'checking':
      await saySo(context, rollout, await openChecks(context, rollout));
      return false;
  }
}

async function openChecks(context: Context, rollout: RolloutRow): Promise<string> {
  const open = await rows<{ name: string }>(
    context.pool,
    `select distinct name from check_run where app_id = $1 and sha = $2 and state in ('queued', 'running') order by name`,
    [rollout.appId, rollout.sha],
  );
  const names = open.map(({ name }) => name);
  return names.length === 0 ? 'waits for the checks' : `waits for check ${names.join(', ')}`;
}

async function saySo(context: Context, rollout: RolloutRow, step: string): Promise<void> {
  await context.pool.query(`update rollout set step = $2 where id = $1 and state = 'waiting'`, [rollout.id, step]);
  await announceEnvironment(context.pool, rollout.environmentId);
}

async function whyNot(
  context: Context,
  rollout: RolloutRow,
): Promise<{ state: 'superseded' | 'cancelled'; reason: string } | null> {
  const { forge } = context;
  const ground = await theRow<Ground>(
    context.pool,
    `select environment.kind, environment.current_release as "currentRelease", release.sha as "currentSha",
       environment.held_commit as "heldCommit", environment.branch, branch.sha as head
     from environment
     left join release on release.app_id = environment.app_id and release.number = environment.current_release
     left join branch on branch.app_id = environment.app_id and branch.name = environment.branch
     where environment.id = $1`,
    [rollout.environmentId],
  );
  const automatic = rollout.cause === 'automatic';
  if (automatic && ground.kind === 'environment')
    return { state: 'cancelled', reason: `${rollout.environment} does not follow a branch any more` };
  if (automatic && ground.head !== null && !(await forge.isAncestor(rollout.app, rollout.sha, ground.head)))
    return {
      state: 'superseded',
      reason: `it is not on ${ground.branch} any more, which is at ${ground.head.slice(0, 8)}`,
    };
  if (automatic && ground.currentSha === rollout.sha)
    return { state: 'superseded', reason: `release ${ground.currentRelease} runs this commit already` };
  if (automatic && ground.heldCommit !== null && (await forge.isAncestor(rollout.app, rollout.sha, ground.heldCommit)))
    return {
      state: 'cancelled',
      reason: `${rollout.environment} is held after a rollback and waits for a commit newer than ${ground.heldCommit.slice(0, 8)}`,
    };
  const older =
    ground.currentSha !== null &&
    ground.currentSha !== rollout.sha &&
    (await forge.isAncestor(rollout.app, rollout.sha, ground.currentSha));
  if (older)
    return {
      state: 'superseded',
      reason: `it is older than ${ground.currentSha?.slice(0, 8)}, which release ${ground.currentRelease} runs. To go back: slipway rollback ${rollout.app}/${rollout.environment}`,
    };
  return null;
}

/**
 * Refuses a commit asked for by a person that is older than what runs, before anything is recorded.
 *
 * @throws {SlipwayError} `conflict`
 */
export async function refuseOlder(
  context: Context,
  environment: { id: string; app: string; name: string },
  sha: string,
): Promise<void> {
  const current = await row<{ number: number; sha: string }>(
    context.pool,
    `select release.number, release.sha from environment
     join release on release.app_id = environment.app_id and release.number = environment.current_release
     where environment.id = $1`,
    [environment.id],
  );
  if (!current || current.sha === sha || !(await context.forge.isAncestor(environment.app, sha, current.sha))) return;
  throw new SlipwayError(
    'conflict',
    `${sha.slice(0, 8)} is older than ${current.sha.slice(0, 8)}, which release ${current.number} of ${environment.name} runs; an older commit never replaces a newer one.`,
    { hint: `To go back to an earlier release: slipway rollback ${environment.app}/${environment.name} --to N` },
  );
}
