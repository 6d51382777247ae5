import type { PoolClient } from 'pg';
import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import type { BranchChange, Commit } from '@slipway/forge';
import type { Context } from '../context.ts';
import { appColumns, type AppRow, type EnvironmentRow } from '../database/records.ts';
import { row, rows, theRow, transaction } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { declareEnvironments, trackedEnvironments } from '../environments/declare.ts';
import { ensurePreview, pullRequestClosed } from '../environments/previews.ts';
import { createRollout } from '../rollouts/create.ts';
import { readDefinition, type Definition } from './definition.ts';
import { recordCommit } from './record.ts';

export type SynchronizeContext = Pick<Context, 'pool' | 'forge' | 'queue'>;

/** A head as the repository has it. What a sha names never changes, so it may be read before anything is locked. */
interface Head {
  commit: Commit;
  read: Definition;
}

/**
 * Brings the rows of one app to what its repository says now: new heads become commits with rollouts, branches that are not tracked become
 * pull requests, branches that are gone close theirs.
 *
 * It compares the repository with the `branch` rows, so it does not matter who noticed a push, how often, or whether the
 * process died in between: what is already recorded is not done again. One transaction per call, one call per app at a time.
 *
 * @param pushed heads that are known to be new; they are read before anything is locked.
 * @returns what changed, for the console of a push.
 */
export async function synchronize(
  context: SynchronizeContext,
  appName: string,
  actor: string,
  pushed: readonly string[] = [],
): Promise<{ changes: BranchChange[] }> {
  const heads = new Map(
    await Promise.all(pushed.map(async (sha) => [sha, await readHead(context, appName, sha)] as const)),
  );
  return await transaction(context.pool, async (client) => {
    const app = await lockApp(client, appName, actor);
    const refs = await context.forge.refs(appName);
    const known = new Map(
      (
        await rows<{ name: string; sha: string }>(client, `select name, sha from branch where app_id = $1`, [app.id])
      ).map(({ name, sha }) => [name, sha] as const),
    );
    const changes: BranchChange[] = [];
    for (const [branch, after] of refs)
      if (known.get(branch) !== after) changes.push({ branch, before: known.get(branch) ?? null, after });
    for (const [branch, before] of known) if (!refs.has(branch)) changes.push({ branch, before, after: null });

    // The default branch first: it declares the environments that decide what the other branches are.
    changes.sort((a, b) => Number(b.branch === app.defaultBranch) - Number(a.branch === app.defaultBranch));
    const removals = changes.filter((change) => change.after === null).length;
    for (const change of changes) {
      if (change.after === null)
        await branchDeleted(context, client, app, change.branch, change.before, actor, removals);
      else {
        const head = heads.get(change.after) ?? (await readHead(context, appName, change.after));
        await branchPushed(context, client, app, { ...change, head, actor });
      }
    }
    return { changes };
  });
}

async function readHead(context: SynchronizeContext, app: string, sha: string): Promise<Head> {
  const [commit, read] = await Promise.all([context.forge.commit(app, sha), readDefinition(context.forge, app, sha)]);
  return { commit, read };
}

/** The row of the app, made by its first push. Locked until the transaction ends: one push of an app is recorded at a time. */
async function lockApp(client: PoolClient, name: string, actor: string): Promise<AppRow> {
  const lock = `select ${appColumns} from app where name = $1 for no key update`;
  const found = await row<AppRow>(client, lock, [name]);
  if (found) return found;
  const created = await row<AppRow>(
    client,
    `insert into app (name) values ($1) on conflict do nothing returning ${appColumns}`,
    [name],
  );
  if (!created) return await theRow<AppRow>(client, lock, [name]);
  await appendEvent(client, {
    kind: 'app.created',
    appId: created.id,
    actor,
    message: `App ${name} was created by its first push.`,
  });
  return created;
}

async function branchPushed(
  context: SynchronizeContext,
  client: PoolClient,
  app: AppRow,
  push: { branch: string; before: string | null; head: Head; actor: string },
): Promise<void> {
  const { branch, before, actor } = push;
  const { commit, read } = push.head;
  const { sha } = commit;
  await client.query(
    `insert into branch (app_id, name, sha) values ($1, $2, $3)
     on conflict (app_id, name) do update set sha = excluded.sha, pushed_at = now()`,
    [app.id, branch, sha],
  );
  await recordCommit(context, client, app, commit, read);
  const definition = read.ok ? read.app : null;
  const reason = read.ok ? null : read.reason;
  await appendEvent(client, {
    kind: 'branch.pushed',
    appId: app.id,
    sha,
    actor,
    message: `${actor} pushed ${sha.slice(0, 8)} "${commit.subject}" to ${branch}.`,
    data: { branch, before },
  });

  if (definition) await adoptDefaultBranch(client, app, branch, definition);
  if (definition && branch === app.defaultBranch) await declareEnvironments(context, client, app, definition);

  const tracked = await trackedEnvironments(client, app, branch);
  if (tracked.length === 0 && !app.defaultBranch) {
    await appendEvent(client, {
      kind: 'commit.invalid',
      appId: app.id,
      sha,
      message:
        reason ??
        `No environment follows the branch ${branch} yet, and the environments of ${app.name} are not known. Push the branch that slipway.yaml names first.`,
      data: { branch },
    });
    return;
  }
  // The default branch is nobody's pull request, also while no environment follows it.
  const preview =
    tracked.length === 0 && branch !== app.defaultBranch ? await ensurePreview(client, app, branch, sha, actor) : null;
  const environments = preview ? [preview.environment] : tracked;
  if (reason !== null) {
    await rejectCommit(client, app, sha, environments, reason);
    return;
  }
  for (const environment of environments)
    await createRollout(context, client, {
      environment,
      kind: 'deploy',
      cause: 'automatic',
      sha,
      actor,
      // A new pull request's environment appears at once; later pushes update it when their checks have passed.
      checks: preview?.isNew === true ? 'skip' : 'wait',
    });
}

/** A commit whose definition can't be used: its environments keep what they run, and say why they don't follow. */
async function rejectCommit(
  client: PoolClient,
  app: AppRow,
  sha: string,
  environments: readonly EnvironmentRow[],
  reason: string,
): Promise<void> {
  const about = { kind: 'commit.invalid', appId: app.id, sha } as const;
  if (environments.length === 0) await appendEvent(client, { ...about, message: reason });
  for (const { id, name, currentRelease } of environments) {
    await client.query(`update environment set failure = $2, updated_at = now() where id = $1`, [id, reason]);
    const keeps = currentRelease === null ? '' : `\n${name} keeps release ${currentRelease} until a push mends this.`;
    await appendEvent(client, { ...about, environmentId: id, message: `${reason}${keeps}` });
    await announceEnvironment(client, id);
  }
}

/**
 * The first branch pushed that its own `slipway.yaml` names, or that may be named by leaving `branch` out, declares the environments. When
 * that branch is deleted (renamed, as the forge sees it), the next one that is named in its own file takes over.
 */
async function adoptDefaultBranch(client: PoolClient, app: AppRow, branch: string, definition: App): Promise<void> {
  if (app.defaultBranch === branch) return;
  const policies: EnvironmentPolicy[] = Object.values(definition.environments).filter(
    (policy) => policy.source === 'branch',
  );
  const names = policies.map((policy) => policy.branch);
  if (app.defaultBranch === null) {
    if (!names.includes(branch) && !names.includes(null) && names.length > 0) return;
  } else {
    const lives = await row(client, `select name from branch where app_id = $1 and name = $2`, [
      app.id,
      app.defaultBranch,
    ]);
    if (lives || !names.includes(branch)) return;
  }
  app.defaultBranch = branch;
  await client.query(`update app set default_branch = $2 where id = $1`, [app.id, branch]);
}

async function branchDeleted(
  context: SynchronizeContext,
  client: PoolClient,
  app: AppRow,
  branch: string,
  before: string | null,
  actor: string,
  removals: number,
): Promise<void> {
  await client.query(`delete from branch where app_id = $1 and name = $2`, [app.id, branch]);
  await appendEvent(client, {
    kind: 'branch.deleted',
    appId: app.id,
    sha: before,
    actor,
    message: `${actor} deleted the branch ${branch}.`,
    data: { branch },
  });
  await pullRequestClosed(context, client, app, branch, actor, removals);
}
