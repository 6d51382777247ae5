import { isDeepStrictEqual } from 'node:util';
import type { PoolClient } from 'pg';
import { SlipwayError } from '@slipway/app';
import { plannedService, type Engine, type Plan, type PlannedRelease } from '@slipway/engine';
import { planRelease } from '@slipway/kubernetes';
import { readLanes, type LaneRow } from '@slipway/queue/scaling';
import type { Context } from '../context.ts';
import {
  environmentColumns,
  environmentTable,
  releaseColumns,
  type EnvironmentRow,
  type ReleaseRow,
} from '../database/records.ts';
import { row, theRow, transaction, type Database } from '../database/sql.ts';
import type { Site } from '../environments/engines.ts';
import { announceEnvironment } from '../events/append.ts';
import { enqueueScaling } from '../tasks.ts';
import { ceilingOf, type SizeCeiling } from '../workers/ceiling.ts';
import { laneOf, plannedWorkers } from '../workers/planned-workers.ts';
import { queueUrl, urlVariable } from '../workers/queue-access.ts';
import { queueName, tasksSchema } from '../workers/queue-name.ts';
import { lockEnvironment, RolloutEnded } from './transitions.ts';

/** Host names of an environment, without a port: its own ones, and the one that always works on this machine. */
export function environmentHosts(
  environment: Pick<EnvironmentRow, 'app' | 'name' | 'policy' | 'kind'>,
  domain: string,
): string[] {
  const own = environment.kind === 'pull-request' ? [] : environment.policy.hosts;
  return [...own, `${environment.name}.${environment.app}.${domain}`];
}

/** What a plan says beside its releases, as it is now. */
export interface Place {
  app: string;
  name: string;
  /** What its engine starts. */
  starts: Engine['starts'];
  /** Where processes use the queues of the environment. */
  queueUrl: string;
  /** What was decided for the lanes of its workers. */
  lanes: LaneRow[];
  /** The largest size that their lanes may have. */
  ceiling: SizeCeiling;
}

/** What a frozen release looks like in a plan. Pure: the same release, weight and place give the same plan. */
export function plannedRelease(
  release: ReleaseRow,
  artifactFolder: string,
  weight: number,
  place: Place,
): PlannedRelease {
  const { definition } = release;
  if (place.starts === 'image') return containerRelease(release, weight, place);
  return {
    number: release.number,
    commit: release.sha,
    weight,
    artifact: artifactFolder,
    variables: releaseVariables(release, place.queueUrl),
    services: Object.entries(definition.services).map(([name, service]) => plannedService(name, service)),
    workers: plannedWorkers(place, definition.workers, Object.keys(release.config), weight > 0 ? 'yes' : 'no'),
  };
}

/** The control plane runs the jobs itself, on every engine. */
function containerRelease(release: ReleaseRow, weight: number, place: Place): PlannedRelease {
  const { definition } = release;
  const images = new Map(Object.entries(release.images ?? {}));
  return planRelease(definition, {
    environment: place.name,
    number: release.number,
    commit: release.sha,
    weight,
    variables: releaseVariables(release, place.queueUrl),
    images,
    lane: (worker, lane) => laneOf(place, definition, { worker, lane, serves: weight > 0 ? 'yes' : 'no' }),
    jobs: 'none',
  });
}

/** Config of a release, and where its queues are if it has any. */
export function releaseVariables(
  release: Pick<ReleaseRow, 'definition' | 'config'>,
  url: string,
): Record<string, string> {
  const hasQueues = Object.keys(release.definition.workers).length > 0;
  return hasQueues ? { ...release.config, [urlVariable]: url } : release.config;
}

/** One release of an environment together with the folder of its artifact. */
export interface ReleaseWithArtifact {
  release: ReleaseRow;
  folder: string;
  /** Whether its artifact was deleted to save space. */
  artifact: 'kept' | 'deleted';
}

export async function findRelease(
  { pool }: { pool: Database },
  appId: string,
  number: number,
): Promise<ReleaseWithArtifact | null> {
  const found = await row<ReleaseRow & { folder: string; artifactState: string }>(
    pool,
    `select ${releaseColumns}, artifact.folder, artifact.state as "artifactState" from release
     join artifact on artifact.app_id = release.app_id and artifact.id = release.artifact
     where release.app_id = $1 and release.number = $2`,
    [appId, number],
  );
  if (!found) return null;
  const { folder, artifactState, ...release } = found;
  return { release, folder, artifact: artifactState === 'deleted' ? 'deleted' : 'kept' };
}

/**
 * Writes down the next plan of an environment, then tells the engine. The row comes first: if the process dies in between, the
 * control plane tells the engine again when it starts.
 *
 * @param serving gets all requests; null when nothing serves yet.
 * @param starting is started beside it and gets none.
 * @throws {RolloutEnded} when the environment is being removed, so that nothing late brings it back.
 */
export async function applyPlan(
  context: Context,
  environment: EnvironmentRow,
  serving: ReleaseWithArtifact | null,
  starting: ReleaseWithArtifact | null,
): Promise<Plan> {
  const releases: WeightedRelease[] = [];
  if (serving) releases.push({ ...serving, weight: 100 });
  if (starting) releases.push({ ...starting, weight: 0 });
  const plan = await transaction(context.pool, async (client) => {
    await lockEnvironment(client, environment.id);
    const wanted = await planFor(context, environment, releases, client);
    const written = await writePlan(client, environment.id, wanted);
    // Another release may declare other workers: what was decided for them is looked at again.
    if (serving) await enqueueScaling(context.queue, client, environment.id, workersOf(releases));
    return written;
  });
  if (plan === null) throw new RolloutEnded();
  await tellEngine(context, environment, plan);
  return plan;
}

/**
 * Plans an environment again with the releases it has: what was decided for its workers has changed.
 *
 * @returns whether the engine was told anything new.
 */
export async function planAgain(context: Context, environmentId: string): Promise<'changed' | 'same'> {
  const told = await transaction(context.pool, async (client) => {
    await lockEnvironment(client, environmentId);
    const environment = await row<EnvironmentRow>(
      client,
      `select ${environmentColumns} from ${environmentTable}
       where environment.id = $1 and environment.removal in ('none', 'waiting')`,
      [environmentId],
    );
    if (!environment?.plan) return null;
    const present = environment.plan;
    const found: WeightedRelease[] = [];
    for (const { number, weight } of present.releases) {
      const one = await findRelease({ pool: client }, environment.appId, number);
      if (one) found.push({ ...one, weight });
    }
    const { generation: _, ...before } = present;
    // Hosts and sleep change with the next rollout.
    const { hosts, sleepSeconds } = before;
    const wanted = { ...(await planFor(context, environment, found, client)), hosts, sleepSeconds };
    if (isDeepStrictEqual(before, wanted)) return null;
    const plan = await writePlan(client, environmentId, wanted);
    return plan && { environment, plan };
  });
  if (told === null) return 'same';
  await tellEngine(context, told.environment, told.plan);
  return 'changed';
}

/** A release and its share of new requests. */
export type WeightedRelease = Pick<ReleaseWithArtifact, 'release' | 'folder'> & { weight: number };

/** The plan of an environment with these releases, as everything that is decided about it is now. Writes nothing. */
export async function planFor(
  context: Context,
  environment: EnvironmentRow,
  releases: readonly WeightedRelease[],
  db: Database = context.pool,
): Promise<Omit<Plan, 'generation'>> {
  const site = context.engines.of(environment);
  const place = await readPlace(db, site, environment, workersOf(releases));
  return {
    environment: `${environment.app}/${environment.name}`,
    hosts: environmentHosts(environment, site.domain),
    sleepSeconds: environment.policy.sleep,
    tasks: await tasksOf(db, environment),
    ...(await objectsOf(db, site, environment)),
    releases: releases.map(({ release, folder, weight }) => plannedRelease(release, folder, weight, place)),
  };
}

function workersOf(releases: readonly WeightedRelease[]): string[] {
  return releases.flatMap(({ release }) => Object.keys(release.definition.workers));
}

/** @returns null when the environment is being removed. */
async function writePlan(
  client: PoolClient,
  environmentId: string,
  wanted: Omit<Plan, 'generation'>,
): Promise<Plan | null> {
  const written = await row<{ plan: Plan }>(
    client,
    `update environment
     set generation = generation + 1, plan = $2::jsonb || jsonb_build_object('generation', generation + 1), updated_at = now()
     where id = $1 and removal in ('none', 'waiting') returning plan`,
    [environmentId, wanted],
  );
  if (!written) return null;
  await announceEnvironment(client, environmentId);
  return written.plan;
}

async function readPlace(
  client: Database,
  { engine, controlPlaneUrl }: Site,
  environment: Pick<EnvironmentRow, 'app' | 'name' | 'policy'>,
  workers: readonly string[],
): Promise<Place> {
  const { app, name } = environment;
  const queues = workers.map((worker) => queueName(environment, worker));
  return {
    app,
    name,
    starts: engine.starts,
    queueUrl: await queueUrl(client, environment, controlPlaneUrl),
    lanes: queues.length === 0 ? [] : await readLanes(client, tasksSchema, queues),
    ceiling: ceilingOf(environment),
  };
}

/** What the default branch says of the objects that are made of the plan; where none are made, nothing. */
async function objectsOf(
  client: Database,
  { engine }: Site,
  { appId, policy }: Pick<EnvironmentRow, 'appId' | 'policy'>,
): Promise<Pick<Plan, 'patches' | 'protected'>> {
  if (engine.starts !== 'image') return {};
  const { patches } = await theRow<Required<Pick<Plan, 'patches'>>>(client, `select patches from app where id = $1`, [
    appId,
  ]);
  return { patches, protected: policy.protected };
}

/** Whether tasks keep an environment awake. Asked only where it may sleep. */
async function tasksOf(client: Database, environment: Pick<EnvironmentRow, 'id' | 'policy'>): Promise<Plan['tasks']> {
  if (environment.policy.sleep === null) return 'none';
  const some = await row(client, `select from worker_lane where environment_id = $1 and work = 'some' limit 1`, [
    environment.id,
  ]);
  return some ? 'waiting' : 'none';
}

/** Tells the engine a plan that is written down. Fine when a newer one was quicker: what this one says is in it. */
export async function tellEngine(
  context: Pick<Context, 'pool' | 'engines' | 'queueAccess'>,
  environment: EnvironmentRow,
  plan: Plan,
): Promise<void> {
  const { engine, fleet } = context.engines.of(environment);
  try {
    fleet.note(await engine.converge(context.queueAccess.withToken(plan)));
  } catch (error) {
    if (!(error instanceof SlipwayError && error.kind === 'conflict')) throw error;
    const newer = await row(context.pool, `select from environment where id = $1 and generation > $2`, [
      environment.id,
      plan.generation,
    ]);
    if (!newer) throw error;
  }
}
