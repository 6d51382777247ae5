import { SlipwayError } from '@slipway/app';
import { readDefinition } from '../commits/definition.ts';
import { recordCommit } from '../commits/record.ts';
import type { Context } from '../context.ts';
import { releaseColumns, type EnvironmentRow, type ReleaseRow, type RolloutRow } from '../database/records.ts';
import { row, rows, transaction } from '../database/sql.ts';
import { mayDo, type Identity } from '../access/tokens.ts';
import { announceEnvironment } from '../events/append.ts';
import { createRollout } from './create.ts';
import { refuseOlder } from './eligibility.ts';
import { findRelease } from './plan.ts';
import { endRollout, loadRollout } from './transitions.ts';

/** What people ask for: each is refused with a reason before anything is recorded, or becomes a rollout. */

/**
 * Deploys a commit of the app's repository by hand. It ends a hold; it never goes back in history.
 *
 * @throws {SlipwayError} `not-found` for an unknown commit, `mistake` for a broken slipway.yaml, `conflict` for an older commit.
 */
export async function requestDeploy(
  context: Context,
  environment: EnvironmentRow,
  commitName: string,
  identity: Identity,
): Promise<RolloutRow> {
  refuseWhileRemoving(environment);
  const commit = await context.forge.commit(environment.app, commitName);
  const read = await readDefinition(context.forge, environment.app, commit.sha);
  if (!read.ok) throw new SlipwayError('mistake', read.reason);
  await refuseOlder(context, environment, commit.sha);
  return await transaction(context.pool, async (client) => {
    await recordCommit(context, client, { id: environment.appId, name: environment.app }, commit, read);
    return await createRollout(context, client, {
      environment,
      kind: 'deploy',
      cause: 'person',
      sha: commit.sha,
      actor: identity.name,
      checks: 'wait',
      ...(mayDo(identity, 'admin') ? { approval: 'given' as const } : {}),
    });
  });
}

/**
 * Brings what the environment `from` runs to this one. The promotion of an admin is its own approval.
 *
 * @throws {SlipwayError} `mistake` when the environment is not promoted to; `conflict` when there is nothing newer to promote.
 */
export async function requestPromotion(
  context: Context,
  environment: EnvironmentRow,
  identity: Identity,
): Promise<RolloutRow> {
  refuseWhileRemoving(environment);
  const name = `${environment.app}/${environment.name}`;
  const { from } = environment.policy;
  if (from === null)
    throw new SlipwayError(
      'mistake',
      `${environment.name} does not take promotions: it has no \`from:\` in slipway.yaml.`,
      {
        hint: `To deploy a commit: slipway deploy ${name} --commit SHA`,
      },
    );
  const source = await row<ReleaseRow>(
    context.pool,
    `select ${releaseColumns} from environment
     join release on release.app_id = environment.app_id and release.number = environment.current_release
     where environment.app_id = $1 and environment.name = $2 and environment.removal <> 'removed'`,
    [environment.appId, from],
  );
  if (!source)
    throw new SlipwayError('conflict', `${from} has no release yet, so there is nothing to promote.`, {
      hint: `Push to its branch first; slipway status ${environment.app}/${from}`,
    });
  await refuseOlder(context, environment, source.sha);
  const current = await findRelease(context, environment.appId, environment.currentRelease ?? 0);
  if (current?.release.sha === source.sha)
    throw new SlipwayError(
      'conflict',
      `${environment.name} runs what ${from} runs already: ${source.sha.slice(0, 8)}.`,
      {
        hint: `Push something new to ${from} first; slipway status ${environment.app}`,
      },
    );
  return await transaction(
    context.pool,
    async (client) =>
      await createRollout(context, client, {
        environment,
        kind: 'promote',
        cause: 'person',
        sha: source.sha,
        actor: identity.name,
        // It ran in the other environment: its checks have been decided about there.
        checks: 'skip',
        ...(mayDo(identity, 'admin') ? { approval: 'given' as const } : {}),
      }),
  );
}

/**
 * Goes back to a release that served this environment before: artifact and config together.
 *
 * @param to its number; null: the one that served before the current one.
 * @throws {SlipwayError} `not-found`, or `conflict` when it serves already or its artifact is gone.
 */
export async function requestRollback(
  context: Context,
  environment: EnvironmentRow,
  to: number | null,
  identity: Identity,
): Promise<RolloutRow> {
  refuseWhileRemoving(environment);
  const name = `${environment.app}/${environment.name}`;
  const served = await rows<ReleaseRow & { artifactState: string | null }>(
    context.pool,
    `select ${releaseColumns}, artifact.state as "artifactState" from release
     left join artifact on artifact.app_id = release.app_id and artifact.id = release.artifact
     where release.environment_id = $1 and release.served_at is not null order by release.number desc`,
    [environment.id],
  );
  const target =
    to === null
      ? served.find(({ number }) => environment.currentRelease === null || number < environment.currentRelease)
      : served.find(({ number }) => number === to);
  if (!target)
    throw new SlipwayError(
      'not-found',
      to === null
        ? `${environment.name} has no earlier release to go back to.`
        : `Release ${to} never served ${environment.name}.`,
      { hint: `slipway releases ${environment.app}` },
    );
  if (target.number === environment.currentRelease)
    throw new SlipwayError('conflict', `${environment.name} runs release ${target.number} already.`, {
      hint: `slipway rollback ${name} --to N takes another one; slipway releases ${environment.app} lists them`,
    });
  if (target.artifactState !== 'ready')
    throw new SlipwayError(
      'conflict',
      `The artifact of release ${target.number} has been deleted to save space; the last 10 releases are kept.`,
      {
        hint: `Push what it was as a new commit: git checkout ${target.sha.slice(0, 8)} -- . && git commit -m "Back" && git push`,
      },
    );
  return await transaction(
    context.pool,
    async (client) =>
      await createRollout(context, client, {
        environment,
        kind: 'rollback',
        cause: 'person',
        sha: target.sha,
        release: target.number,
        actor: identity.name,
        checks: 'skip',
      }),
  );
}

/** Ends a rollout on request; the old release keeps serving. Fine when it has ended. */
export async function requestCancel(context: Context, rollout: RolloutRow, identity: Identity): Promise<RolloutRow> {
  await endRollout(context, rollout, 'cancelled', `${identity.name} cancelled it`);
  await announceEnvironment(context.pool, rollout.environmentId);
  return await loadRollout(context, rollout.id);
}

function refuseWhileRemoving(environment: EnvironmentRow): void {
  if (environment.removal !== 'removing' && environment.removal !== 'removed') return;
  throw new SlipwayError('conflict', `${environment.name} is being removed and takes no release any more.`, {
    hint: 'Push the branch again when it is gone: that makes a new environment.',
  });
}
