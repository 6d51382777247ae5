import type { PoolClient } from 'pg';
import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import {
  environmentColumns,
  environmentTable,
  type AppRow,
  type EnvironmentKind,
  type EnvironmentRow,
} from '../database/records.ts';
import { row, rows, theRow } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';

/**
 * Which environments there are. Long-lived ones are declared by the default branch; a preview exists for each open pull request.
 * Nothing here removes a long-lived environment: one that is not declared any more is only reported.
 */

const kindOf: Record<EnvironmentPolicy['source'], EnvironmentKind> = {
  branch: 'branch',
  environment: 'environment',
  'pull-requests': 'pull-request',
};

/** More removals than this by one change wait for a person: it is more likely a mistake than a wish. */
const mostRemovalsAtOnce = 3;

/** Makes the rows of the long-lived environments equal to what the default branch declares now. */
export async function declareEnvironments(client: PoolClient, app: AppRow, definition: App): Promise<void> {
  const declared = Object.entries(definition.environments).filter(([, policy]) => policy.source !== 'pull-requests');
  for (const [name, policy] of declared) {
    const branch = policy.source === 'branch' ? (policy.branch ?? app.defaultBranch) : null;
    const existing = await liveEnvironment(client, app.id, name);
    if (existing && existing.kind === 'pull-request') continue;
    if (existing) {
      await client.query(
        `update environment set policy = $2, kind = $3, branch = $4, updated_at = now() where id = $1`,
        [existing.id, policy, kindOf[policy.source], branch],
      );
      await announceEnvironment(client, existing.id);
      continue;
    }
    await createEnvironment(client, app, { name, kind: kindOf[policy.source], branch, pullRequest: null, policy });
  }
  // Previews keep to the policy of the default branch, never to the one of their own commit.
  const previewPolicy = Object.values(definition.environments).find((policy) => policy.source === 'pull-requests');
  if (previewPolicy)
    await client.query(
      `update environment set policy = $2 where app_id = $1 and kind = 'pull-request' and removal <> 'removed'`,
      [app.id, previewPolicy],
    );
  const gone = await rows<{ id: string; name: string }>(
    client,
    `select id, name from environment where app_id = $1 and removal = 'none' and kind <> 'pull-request' and not (name = any($2))`,
    [app.id, declared.map(([name]) => name)],
  );
  for (const { id, name } of gone)
    await appendEvent(client, {
      kind: 'environment.undeclared',
      appId: app.id,
      environmentId: id,
      message: `${name} is not in slipway.yaml any more. It keeps running and gets no new commits. To remove it: slipway remove ${app.name}/${name} --confirm ${name}`,
    });
}

/** Long-lived environments that follow a branch. */
export async function trackedEnvironments(client: PoolClient, app: AppRow, branch: string): Promise<EnvironmentRow[]> {
  return await rows<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable}
     where environment.app_id = $1 and environment.kind = 'branch' and environment.branch = $2 and environment.removal = 'none'
     order by environment.id`,
    [app.id, branch],
  );
}

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
  const open = await row<{ number: number }>(
    client,
    `select number from pull_request where app_id = $1 and branch = $2 and closed_at is null`,
    [app.id, branch],
  );
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

/**
 * A branch is gone, which closes its pull request: positive proof, so its preview is removed. Many at once wait for a person.
 *
 * @returns ids of environments that may be removed now.
 */
export async function pullRequestClosed(
  client: PoolClient,
  app: AppRow,
  branch: string,
  actor: string,
  removalsAtOnce: number,
): Promise<string | null> {
  const closed = await row<{ number: number }>(
    client,
    `update pull_request set closed_at = now() where app_id = $1 and branch = $2 and closed_at is null returning number`,
    [app.id, branch],
  );
  if (!closed) return null;
  const name = `pr-${closed.number}`;
  await appendEvent(client, {
    kind: 'pull-request.closed',
    appId: app.id,
    actor,
    message: `Pull request ${closed.number} (${branch}) is closed.`,
    data: { branch, number: closed.number },
  });
  const environment = await liveEnvironment(client, app.id, name);
  if (!environment) return null;
  if (removalsAtOnce > mostRemovalsAtOnce) {
    await client.query(`update environment set removal = 'waiting', updated_at = now() where id = $1`, [
      environment.id,
    ]);
    await appendEvent(client, {
      kind: 'environment.removal-waits',
      appId: app.id,
      environmentId: environment.id,
      message: `${name} is not removed yet: ${removalsAtOnce} branches went away at once, which may be a mistake. Remove it with: slipway remove ${app.name}/${name}`,
      data: { removalsAtOnce },
    });
    return null;
  }
  await markRemoving(client, environment, actor, `pull request ${closed.number} is closed`);
  return environment.id;
}

/** From here on the environment is being removed; the `remove` task does it. */
export async function markRemoving(
  client: PoolClient,
  environment: EnvironmentRow,
  actor: string,
  reason: string,
): Promise<void> {
  await client.query(`update environment set removal = 'removing', updated_at = now() where id = $1`, [environment.id]);
  await appendEvent(client, {
    kind: 'environment.removing',
    appId: environment.appId,
    environmentId: environment.id,
    actor,
    message: `${environment.name} is being removed: ${reason}.`,
  });
  await announceEnvironment(client, environment.id);
}

async function createEnvironment(
  client: PoolClient,
  app: AppRow,
  environment: {
    name: string;
    kind: EnvironmentKind;
    branch: string | null;
    pullRequest: number | null;
    policy: EnvironmentPolicy;
  },
): Promise<EnvironmentRow> {
  const { id } = await theRow<{ id: string }>(
    client,
    `insert into environment (app_id, name, kind, branch, pull_request, policy) values ($1, $2, $3, $4, $5, $6) returning id`,
    [app.id, environment.name, environment.kind, environment.branch, environment.pullRequest, environment.policy],
  );
  const origin: Record<EnvironmentKind, string> = {
    branch: `It follows the branch ${environment.branch}.`,
    environment: `It gets what is promoted from ${environment.policy.from}.`,
    'pull-request': `It runs the branch ${environment.branch}.`,
  };
  await appendEvent(client, {
    kind: 'environment.created',
    appId: app.id,
    environmentId: id,
    message: `The environment ${environment.name} was created. ${origin[environment.kind]}`,
  });
  await announceEnvironment(client, id);
  return await theRow<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable} where environment.id = $1`,
    [id],
  );
}

async function liveEnvironment(client: PoolClient, appId: string, name: string): Promise<EnvironmentRow | null> {
  return await row<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable}
     where environment.app_id = $1 and environment.name = $2 and environment.removal <> 'removed'`,
    [appId, name],
  );
}
