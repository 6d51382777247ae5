import type { PoolClient } from 'pg';
import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import type { Context } from '../context.ts';
import type { AppRow, EnvironmentRow } from '../database/records.ts';
import { row, theRow } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { createEnvironment, liveEnvironment } from './declare.ts';
import { markRemoving } from './remove.ts';

/** Which previews there are: one for each open pull request. A branch that no environment follows is a pull request. */

/** More removals than this by one change wait for a person: it is more likely a mistake than a wish. */
const mostRemovalsAtOnce = 3;

/**
 * The pull request of a branch that no environment follows, and its preview: found, or made. `isNew` tells whether this push opened it.
 *
 * @returns null when the default branch declares no environment for pull requests.
 */
export async function ensurePreview(
  client: PoolClient,
  app: AppRow,
  branch: string,
  sha: string,
  actor: string,
): Promise<{ environment: EnvironmentRow; isNew: boolean } | null> {
  const policy = await previewPolicy(client, app);
  if (!policy) {
    await appendEvent(client, {
      kind: 'branch.pushed',
      appId: app.id,
      sha,
      message: `${branch} has no environment: slipway.yaml on ${app.defaultBranch} declares none for pull requests. To get one, add there: environments: { preview: { pull-requests: true } }`,
      data: { branch },
    });
    return null;
  }
  const open = await openPullRequestOf(client, app, branch);
  const number = open?.number ?? (await openPullRequest(client, app, branch, sha, actor));
  await client.query(`update pull_request set sha = $3 where app_id = $1 and number = $2`, [app.id, number, sha]);
  const name = `pr-${number}`;
  const existing = await liveEnvironment(client, app.id, name);
  if (open)
    await appendEvent(client, {
      kind: 'pull-request.updated',
      appId: app.id,
      environmentId: existing?.id ?? null,
      sha,
      actor,
      message: `Pull request ${number} (${branch}) is at ${sha.slice(0, 8)} now.`,
      data: { branch, number },
    });
  if (existing) return { environment: existing, isNew: false };
  const environment = await createEnvironment(client, app, {
    name,
    kind: 'pull-request',
    branch,
    pullRequest: number,
    policy,
  });
  return { environment, isNew: true };
}

/**
 * The open pull request of a branch. One that was closed by deleting its branch together with many others, whose environment still waits
 * for a person, is open again: deleting was the mistake. One whose environment is on its way out is closed: the push begins a new one.
 */
async function openPullRequestOf(client: PoolClient, app: AppRow, branch: string): Promise<{ number: number } | null> {
  await client.query(
    `with back as (
       update environment set removal = 'none', updated_at = now()
       where app_id = $1 and branch = $2 and kind = 'pull-request' and removal = 'waiting' returning pull_request)
     update pull_request set closed_at = null
     where app_id = $1 and number = (select max(pull_request) from back)
       and not exists (select from pull_request as other where other.app_id = $1 and other.branch = $2 and other.closed_at is null)`,
    [app.id, branch],
  );
  const open = await row<{ number: number }>(
    client,
    `select number from pull_request where app_id = $1 and branch = $2 and closed_at is null`,
    [app.id, branch],
  );
  const environment = open ? await liveEnvironment(client, app.id, `pr-${open.number}`) : null;
  if (environment?.removal !== 'removing') return open;
  await client.query(`update pull_request set closed_at = now() where app_id = $1 and number = $2`, [
    app.id,
    open?.number,
  ]);
  return null;
}

async function openPullRequest(
  client: PoolClient,
  app: AppRow,
  branch: string,
  sha: string,
  actor: string,
): Promise<number> {
  const { number } = await theRow<{ number: number }>(
    client,
    `update app set last_pull_request = last_pull_request + 1 where id = $1 returning last_pull_request as number`,
    [app.id],
  );
  await client.query(`insert into pull_request (app_id, number, branch, sha) values ($1, $2, $3, $4)`, [
    app.id,
    number,
    branch,
    sha,
  ]);
  await appendEvent(client, {
    kind: 'pull-request.opened',
    appId: app.id,
    sha,
    actor,
    message: `The branch ${branch} is pull request ${number}; its environment is pr-${number}.`,
    data: { branch, number },
  });
  return number;
}

async function previewPolicy(client: PoolClient, app: AppRow): Promise<EnvironmentPolicy | null> {
  const head = await row<{ definition: App | null }>(
    client,
    `select commit.definition from branch join commit on commit.app_id = branch.app_id and commit.sha = branch.sha
     where branch.app_id = $1 and branch.name = $2`,
    [app.id, app.defaultBranch],
  );
  // While the head of the default branch is broken, the policy of existing previews goes on.
  const policies = head?.definition ? Object.values(head.definition.environments) : [];
  const declared = policies.find((policy) => policy.source === 'pull-requests');
  if (declared || head?.definition) return declared ?? null;
  const last = await row<{ policy: EnvironmentPolicy }>(
    client,
    `select policy from environment where app_id = $1 and kind = 'pull-request' order by id desc limit 1`,
    [app.id],
  );
  return last?.policy ?? null;
}

/** A branch is gone, which closes its pull request: positive proof, so its preview is removed. Many at once wait for a person. */
export async function pullRequestClosed(
  context: Pick<Context, 'queue'>,
  client: PoolClient,
  app: AppRow,
  branch: string,
  actor: string,
  removalsAtOnce: number,
): Promise<void> {
  const closed = await row<{ number: number }>(
    client,
    `update pull_request set closed_at = now() where app_id = $1 and branch = $2 and closed_at is null returning number`,
    [app.id, branch],
  );
  if (!closed) return;
  const name = `pr-${closed.number}`;
  await appendEvent(client, {
    kind: 'pull-request.closed',
    appId: app.id,
    actor,
    message: `Pull request ${closed.number} (${branch}) is closed.`,
    data: { branch, number: closed.number },
  });
  const environment = await liveEnvironment(client, app.id, name);
  if (!environment) return;
  if (removalsAtOnce > mostRemovalsAtOnce) {
    const waits = await row(
      client,
      `update environment set removal = 'waiting', updated_at = now() where id = $1 and removal = 'none' returning id`,
      [environment.id],
    );
    if (!waits) return;
    await appendEvent(client, {
      kind: 'environment.removal-waits',
      appId: app.id,
      environmentId: environment.id,
      message: `${name} is not removed yet: ${removalsAtOnce} branches went away at once, which may be a mistake. Remove it with: slipway remove ${app.name}/${name}`,
      data: { removalsAtOnce },
    });
    return;
  }
  await markRemoving(context, client, environment, actor, `pull request ${closed.number} is closed`);
}
