import type { EnvironmentStatus } from '@slipway/engine';
import type { ApiApp, ApiEnvironment, ApiRollout } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import {
  appColumns,
  environmentColumns,
  environmentTable,
  releaseColumns,
  rolloutColumns,
  rolloutTable,
  type AppRow,
  type EnvironmentRow,
  type ReleaseRow,
  type RolloutRow,
} from '../database/records.ts';
import { rows } from '../database/sql.ts';
import { environmentHosts } from '../rollouts/plan.ts';
import { engineName } from './engines.ts';
import { withLastLines } from '../rollouts/transitions.ts';

/** What people and programs are shown of environments: rows and what the engine sees, in one object. */

/** Environments by id, or of one app, or all that are not removed; long-lived ones first, in the order they were made. */
export async function viewEnvironments(
  context: Context,
  filter: { ids?: string[]; app?: string },
): Promise<ApiEnvironment[]> {
  const environments = await rows<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable}
     where environment.removal <> 'removed' and ($1::bigint[] is null or environment.id = any($1)) and ($2::text is null or app.name = $2)
     order by app.name, environment.kind = 'pull-request', environment.id`,
    [filter.ids ?? null, filter.app ?? null],
  );
  if (environments.length === 0) return [];
  const ids = environments.map(({ id }) => id);
  const [releases, rollouts] = await Promise.all([
    rows<ReleaseRow>(
      context.pool,
      `select ${releaseColumns} from environment
       join release on release.app_id = environment.app_id and release.number = environment.current_release
       where environment.id = any($1)`,
      [ids],
    ),
    // The one that runs, else the newest that waits, else the newest.
    rows<RolloutRow>(
      context.pool,
      `select distinct on (rollout.environment_id) ${rolloutColumns} from ${rolloutTable} where rollout.environment_id = any($1)
       order by rollout.environment_id, rollout.state = 'running' desc, rollout.state = 'waiting' desc, rollout.id desc`,
      [ids],
    ),
  ]);
  const releaseOf = new Map(releases.map((release) => [release.environmentId, release]));
  const rolloutOf = new Map(rollouts.map((rollout) => [rollout.environmentId, rollout]));
  return environments.map((environment) =>
    viewEnvironment(context, environment, releaseOf.get(environment.id) ?? null, rolloutOf.get(environment.id) ?? null),
  );
}

function viewEnvironment(
  context: Context,
  environment: EnvironmentRow,
  release: ReleaseRow | null,
  rollout: RolloutRow | null,
): ApiEnvironment {
  const site = context.engines.named(engineName(environment));
  const status = site?.fleet.status(`${environment.app}/${environment.name}`) ?? null;
  const { state, reason } = stateOf(environment, release, rollout, status, site?.fleet.connected ?? false);
  const definition = release?.definition ?? null;
  const url = site && `http://${environmentHosts(environment, site.domain)[0]}${site.port}`;
  const ready = (name: string): number =>
    status?.instances.filter((one) => one.name === name && one.release === release?.number && one.state === 'ready')
      .length ?? 0;
  return {
    app: environment.app,
    environment: environment.name,
    kind: environment.kind,
    engine: engineName(environment),
    state,
    reason,
    release: release ? { number: release.number, commit: release.sha } : null,
    services: Object.entries(definition?.services ?? {}).map(([name, service]) => ({
      name,
      ready: ready(name),
      desired: service.replicas.min,
      url: service.route === null || url === null ? null : `${url}${service.route === '/' ? '' : service.route}`,
    })),
    workers: plannedRunners(environment, release).map(({ name, replicas }) => ({
      name,
      ready: ready(name),
      desired: replicas,
    })),
    url: release && Object.values(release.definition.services).some((service) => service.route !== null) ? url : null,
    branch: environment.branch,
    from: environment.policy.from,
    pullRequest: environment.pullRequest,
    protected: environment.policy.protected,
    heldSince: environment.heldCommit,
    expiresAt: environment.expiresAt?.toISOString() ?? null,
    rollout: rollout ? viewRollout(rollout) : null,
    updatedAt: environment.updatedAt.toISOString(),
  };
}

/**
 * The processes of the workers of a release, as they are planned now. On a machine that is one runner while there is something to do, and how many
 * tasks it does at once is a matter of the queue; where lanes have processes of their own, it is all of these.
 */
function plannedRunners(
  { plan }: Pick<EnvironmentRow, 'plan'>,
  release: Pick<ReleaseRow, 'number'> | null,
): { name: string; replicas: number }[] {
  const workers = plan?.releases.find(({ number }) => number === release?.number)?.workers ?? [];
  return workers.map(({ name, replicas, lanes }) => ({
    name,
    replicas: lanes?.reduce((sum, lane) => sum + (lane.replicas ?? 0), 0) ?? replicas,
  }));
}

/**
 * One word for an environment, and the reason where the word alone raises a question. Read top to bottom; the first that holds is it.
 *
 * | state | when |
 * | --- | --- |
 * | removing | it is being removed |
 * | rolling  | a rollout runs, or waits for a check or build |
 * | failing  | the newest rollout failed, or an instance of the release that serves fails |
 * | asleep   | the engine put it to sleep, or nothing was ever released to it |
 * | rolling  | instances of its release are starting (after a restart of the machine, or waking) |
 * | ready    | all else |
 */
export function stateOf(
  environment: Pick<EnvironmentRow, 'removal' | 'failure' | 'app' | 'name' | 'heldCommit' | 'kind' | 'plan'>,
  release: Pick<ReleaseRow, 'number' | 'definition'> | null,
  rollout: Pick<RolloutRow, 'id' | 'state' | 'phase' | 'step' | 'approval'> | null,
  status: EnvironmentStatus | null,
  engineAnswers: boolean,
): { state: ApiEnvironment['state']; reason: string | null } {
  if (environment.removal === 'removing') return { state: 'removing', reason: null };
  const waitsForPerson =
    rollout?.state === 'waiting' && rollout.phase === 'approval' && rollout.approval === 'required';
  if (rollout && !waitsForPerson && (rollout.state === 'running' || rollout.state === 'waiting'))
    return { state: 'rolling', reason: rollout.step };
  if (environment.failure !== null) return { state: 'failing', reason: environment.failure };
  const instances = release ? (status?.instances.filter((one) => one.release === release.number) ?? []) : [];
  const failing = instances.find((one) => one.failure !== null && one.state !== 'ready' && one.state !== 'gone');
  if (failing)
    return {
      state: 'failing',
      reason: withLastLines(`${failing.name}: ${failing.failure?.message}`, failing.failure?.lastLines ?? []),
    };
  const approval = waitsForPerson ? `rollout ${rollout.id} waits for approval: slipway approve ${rollout.id}` : null;
  if (!release)
    return {
      state: 'asleep',
      reason:
        approval ??
        (environment.kind === 'environment'
          ? `nothing was promoted to it yet: slipway promote ${environment.app}/${environment.name}`
          : 'nothing was released to it yet'),
    };
  if (!engineAnswers && status === null)
    return { state: 'rolling', reason: 'the engine does not answer yet; it is asked again until it does' };
  if (status?.activity === 'asleep') return { state: 'asleep', reason: approval };
  const wanted = [
    ...Object.entries(release.definition.services).map(([name, service]) => [name, service.replicas.min] as const),
    ...plannedRunners(environment, release).map(({ name, replicas }) => [name, replicas] as const),
  ];
  const starting = wanted.find(
    ([name, replicas]) => instances.filter((one) => one.name === name && one.state === 'ready').length < replicas,
  );
  if (starting) return { state: 'rolling', reason: `${starting[0]} is starting` };
  if (environment.removal === 'waiting')
    return {
      state: 'ready',
      reason: `its removal waits for a person: slipway remove ${environment.app}/${environment.name}`,
    };
  return { state: 'ready', reason: approval };
}

export function viewRollout(rollout: RolloutRow): ApiRollout {
  return {
    id: rollout.id,
    app: rollout.app,
    environment: rollout.environment,
    kind: rollout.kind,
    state: rollout.state,
    step: rollout.step,
    commit: rollout.sha,
    release: rollout.release,
    reason: rollout.reason,
    approval: rollout.approval,
    actor: rollout.actor,
    createdAt: rollout.createdAt.toISOString(),
    finishedAt: rollout.finishedAt?.toISOString() ?? null,
  };
}

/** Apps with their environments, by name. @param cloneUrl makes the git URL of an app. */
export async function viewApps(
  context: Context,
  filter: { app?: string },
  cloneUrl: (app: string) => string,
): Promise<ApiApp[]> {
  const [apps, environments] = await Promise.all([
    rows<AppRow>(context.pool, `select ${appColumns} from app where ($1::text is null or name = $1) order by name`, [
      filter.app ?? null,
    ]),
    viewEnvironments(context, filter),
  ]);
  return apps.map((app) => ({
    app: app.name,
    defaultBranch: app.defaultBranch,
    cloneUrl: cloneUrl(app.name),
    environments: environments.filter((environment) => environment.app === app.name),
    createdAt: app.createdAt.toISOString(),
  }));
}
