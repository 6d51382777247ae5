import type { Pool, PoolClient } from 'pg';
import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import type { BranchChange, Forge } from '@slipway/forge';
import type { Queue } from '@slipway/queue';
import { appColumns, type AppRow, type EnvironmentRow } from '../database/records.ts';
import { row, rows, theRow, transaction } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { declareEnvironments, ensurePreview, pullRequestClosed, trackedEnvironments } from '../environments/declare.ts';
import { createRollout } from '../rollouts/create.ts';
import { environmentKey, prepareKey, prepareTask, removeTask } from '../tasks.ts';
import { readDefinition } from './definition.ts';

export interface SynchronizeContext {
  pool: Pool;
  forge: Forge;
  queue: Queue;
}

/**
 * Brings the rows of one app to what its repository says now: new heads become commits with rollouts, branches that are not tracked become
 * pull requests, branches that are gone close theirs.
 *
 * It compares the repository with the `branch` rows, so it does not matter who noticed a push, how often, or whether the
 * process died in between: what is already recorded is not done again. One transaction per call, one call per app at a time.
 *
 * @returns what changed, for the console of a push.
 */
export async function synchronize(
  context: SynchronizeContext,
  appName: string,
  actor: string,
): Promise<{ changes: BranchChange[] }> {
  return await transaction(context.pool, async (client) => {
    await client.query(`select pg_advisory_xact_lock(hashtext('slipway synchronize'), hashtext($1))`, [appName]);
    const app = await ensureApp(client, appName, actor);
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
      else await branchPushed(context, client, app, change.branch, change.before, change.after, actor);
    }
    return { changes };
  });
}

async function ensureApp(client: PoolClient, name: string, actor: string): Promise<AppRow> {
  const found = await row<AppRow>(client, `select ${appColumns} from app where name = $1`, [name]);
  if (found) return found;
  const created = await theRow<AppRow>(client, `insert into app (name) values ($1) returning ${appColumns}`, [name]);
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
  branch: string,
  before: string | null,
  sha: string,
  actor: string,
): Promise<void> {
  await client.query(
    `insert into branch (app_id, name, sha) values ($1, $2, $3)
     on conflict (app_id, name) do update set sha = excluded.sha, pushed_at = now()`,
    [app.id, branch, sha],
  );
  const commit = await context.forge.commit(app.name, sha);
  const read = await readDefinition(context.forge, app.name, sha);
  const definition = read.ok ? read.app : null;
  const reason = read.ok ? null : read.reason;
  const known = await row<{ state: string }>(
    client,
    `insert into commit (app_id, sha, tree, subject, author, authored_at, state, reason, definition)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     on conflict (app_id, sha) do update set pushed_at = now()
     returning state`,
    [
      app.id,
      sha,
      commit.tree,
      commit.subject,
      commit.author,
      new Date(commit.authoredAt),
      definition ? 'received' : 'failed',
      reason,
      definition,
    ],
  );
  await appendEvent(client, {
    kind: 'branch.pushed',
    appId: app.id,
    sha,
    actor,
    message: `${actor} pushed ${sha.slice(0, 8)} "${commit.subject}" to ${branch}.`,
    data: { branch, before },
  });

  if (!app.defaultBranch && definition) await adoptDefaultBranch(client, app, branch, definition);
  if (definition && branch === app.defaultBranch) await declareEnvironments(client, app, definition);

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
  const preview = tracked.length === 0 ? await ensurePreview(client, app, branch, sha, actor) : null;
  const environments = preview ? [preview.environment] : tracked;
  if (reason !== null) {
    await rejectCommit(client, app, sha, environments, reason);
    return;
  }
  for (const environment of environments)
    await createRollout({ queue: context.queue, forge: context.forge }, client, {
      environment,
      kind: 'deploy',
      cause: 'automatic',
      sha,
      actor,
      // A new pull request's environment appears at once; later pushes update it when their checks have passed.
      checks: preview?.isNew === true ? 'skip' : 'wait',
    });
  // A commit that is pushed again after it failed is tried again.
  if (known?.state === 'failed')
    await client.query(
      `update commit set state = 'received', reason = null, definition = $3 where app_id = $1 and sha = $2`,
      [app.id, sha, definition],
    );
  if (known?.state === 'received' || known?.state === 'failed')
    await context.queue.enqueue(
      prepareTask,
      { app: app.name, appId: app.id, sha },
      { client, key: prepareKey(app.id, commit.tree) },
    );
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

/** The first branch pushed that its own `slipway.yaml` names, or that may be named by leaving `branch` out, declares the environments. */
async function adoptDefaultBranch(client: PoolClient, app: AppRow, branch: string, definition: App): Promise<void> {
  const policies: EnvironmentPolicy[] = Object.values(definition.environments).filter(
    (policy) => policy.source === 'branch',
  );
  const names = policies.map((policy) => policy.branch);
  if (!names.includes(branch) && !names.includes(null) && names.length > 0) return;
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
  const removable = await pullRequestClosed(client, app, branch, actor, removals);
  if (removable)
    await context.queue.enqueue(
      removeTask,
      { environmentId: removable },
      { client, key: environmentKey(removable), unique: `remove:${removable}` },
    );
}
