import { isDeepStrictEqual } from 'node:util';
import type { PoolClient } from 'pg';
import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import type { Queue } from '@slipway/queue';
import type { Context } from '../context.ts';
import {
  environmentColumns,
  environmentTable,
  type AppRow,
  type EnvironmentKind,
  type EnvironmentRow,
} from '../database/records.ts';
import { row, rows, theRow } from '../database/sql.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { enqueueScaling } from '../tasks.ts';
import { ceilingOf, limitsOf } from '../workers/ceiling.ts';

/**
 * Which long-lived environments there are: the default branch declares them. Nothing here removes one: what is not declared any more
 * keeps what it runs, and is reported.
 */

const kindOf: Record<EnvironmentPolicy['source'], EnvironmentKind> = {
  branch: 'branch',
  environment: 'environment',
  'pull-requests': 'pull-request',
};

/** Makes the rows of the long-lived environments equal to what the default branch declares now. */
export async function declareEnvironments(
  { queue }: Pick<Context, 'queue'>,
  client: PoolClient,
  app: AppRow,
  definition: App,
): Promise<void> {
  const before = await ceilings(client, app);
  await declarePatches(client, app, definition);
  const declared = Object.entries(definition.environments).filter(([, policy]) => policy.source !== 'pull-requests');
  for (const [name, policy] of declared) {
    const branch = policy.source === 'branch' ? (policy.branch ?? app.defaultBranch) : null;
    const existing = await liveEnvironment(client, app.id, name);
    if (existing && existing.kind === 'pull-request') continue;
    if (existing) {
      await redeclare(client, existing, { policy, kind: kindOf[policy.source], branch });
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
  await followCeilings(queue, client, app, before);
  // Without a branch it gets no new commits. Told once, not at every push.
  const gone = await rows<{ id: string; name: string }>(
    client,
    `update environment set branch = null, policy = policy || '{"from": null}', updated_at = now()
     where app_id = $1 and removal = 'none' and kind <> 'pull-request' and not (name = any($2))
       and (branch is not null or policy ->> 'from' is not null)
     returning id, name`,
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

/** What the default branch changes in Kubernetes objects holds for all environments; those that run get it with their next plan. */
async function declarePatches(client: PoolClient, app: AppRow, { kubernetes }: App): Promise<void> {
  await client.query(`update app set patches = $2 where id = $1`, [app.id, JSON.stringify(kubernetes.patches)]);
}

interface Ceilinged extends Pick<EnvironmentRow, 'id' | 'name' | 'policy'> {
  workers: string[];
}

/** The live environments of an app and their policies, with the workers that their plans have. */
async function ceilings(client: PoolClient, app: AppRow): Promise<Ceilinged[]> {
  return await rows<Ceilinged>(
    client,
    `select id, name, policy, array(
       select distinct jsonb_path_query(plan, '$.releases[*].workers[*].name') #>> '{}') as workers
     from environment where app_id = $1 and removal in ('none', 'waiting')`,
    [app.id],
  );
}

/** Workers with another ceiling than before get their sizes at once: nothing else may happen to their environments for days. */
async function followCeilings(
  queue: Queue,
  client: PoolClient,
  app: AppRow,
  before: readonly Ceilinged[],
): Promise<void> {
  const earlier = new Map(before.map((one) => [one.id, ceilingOf(one)]));
  for (const now of await ceilings(client, app)) {
    const known = earlier.get(now.id);
    if (!known || isDeepStrictEqual(known, ceilingOf(now))) continue;
    if (now.workers.length > 0)
      await appendEvent(client, {
        kind: 'environment.changed',
        appId: app.id,
        environmentId: now.id,
        message: `${now.name} has another ceiling now: ${limitsOf(ceilingOf(now))}.`,
        data: { ceiling: now.policy.ceiling },
      });
    await announceEnvironment(client, now.id);
    await enqueueScaling(queue, client, now.id, now.workers);
  }
}

/** An environment that is declared again; what is new about how commits get into it is told. */
async function redeclare(
  client: PoolClient,
  existing: EnvironmentRow,
  now: { policy: EnvironmentPolicy; kind: EnvironmentKind; branch: string | null },
): Promise<void> {
  await client.query(`update environment set policy = $2, kind = $3, branch = $4, updated_at = now() where id = $1`, [
    existing.id,
    now.policy,
    now.kind,
    now.branch,
  ]);
  if (existing.kind !== now.kind || existing.branch !== now.branch || existing.policy.from !== now.policy.from)
    await appendEvent(client, {
      kind: 'environment.changed',
      appId: existing.appId,
      environmentId: existing.id,
      message: `${existing.name} is declared in another way now. ${originOf({ ...now, name: existing.name })}`,
    });
  await announceEnvironment(client, existing.id);
}

/** Long-lived environments that follow a branch. None of them is removed before the transaction ends. */
export async function trackedEnvironments(client: PoolClient, app: AppRow, branch: string): Promise<EnvironmentRow[]> {
  return await rows<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable}
     where environment.app_id = $1 and environment.kind = 'branch' and environment.branch = $2 and environment.removal = 'none'
     order by environment.id for no key update of environment`,
    [app.id, branch],
  );
}

/** Makes an environment. */
export async function createEnvironment(
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
  await appendEvent(client, {
    kind: 'environment.created',
    appId: app.id,
    environmentId: id,
    message: `The environment ${environment.name} was created. ${originOf(environment)}`,
  });
  await announceEnvironment(client, id);
  return await theRow<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable} where environment.id = $1`,
    [id],
  );
}

function originOf(environment: {
  name: string;
  kind: EnvironmentKind;
  branch: string | null;
  policy: EnvironmentPolicy;
}): string {
  switch (environment.kind) {
    case 'branch':
      return `It follows the branch ${environment.branch}.`;
    case 'environment':
      return `It gets what is promoted from ${environment.policy.from}.`;
    case 'pull-request':
      return `It runs the branch ${environment.branch}.`;
  }
}

/** The environment of this name that is not removed. It stays as it is until the transaction ends. */
export async function liveEnvironment(client: PoolClient, appId: string, name: string): Promise<EnvironmentRow | null> {
  return await row<EnvironmentRow>(
    client,
    `select ${environmentColumns} from ${environmentTable}
     where environment.app_id = $1 and environment.name = $2 and environment.removal <> 'removed'
     for no key update of environment`,
    [appId, name],
  );
}
