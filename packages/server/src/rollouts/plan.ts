import type { Plan, PlannedRelease } from '@slipway/engine';
import type { Context } from '../context.ts';
import { releaseColumns, type EnvironmentRow, type ReleaseRow } from '../database/records.ts';
import { row } from '../database/sql.ts';
import { RolloutEnded } from './transitions.ts';

/** Host names of an environment, without a port: its own ones, and the one that always works on this machine. */
export function environmentHosts(
  environment: Pick<EnvironmentRow, 'app' | 'name' | 'policy' | 'kind'>,
  domain: string,
): string[] {
  const own = environment.kind === 'pull-request' ? [] : environment.policy.hosts;
  return [...own, `${environment.name}.${environment.app}.${domain}`];
}

/** What a frozen release looks like in a plan. Pure: the same release and weight give the same plan. */
export function plannedRelease(release: ReleaseRow, artifactFolder: string, weight: number): PlannedRelease {
  const { definition } = release;
  return {
    number: release.number,
    commit: release.sha,
    weight,
    artifact: artifactFolder,
    variables: release.config,
    services: Object.entries(definition.services).map(([name, service]) => ({
      name,
      run: service.run,
      replicas: service.replicas.min,
      size: service.size,
      stopSeconds: service.stop,
      health: service.health,
      route: service.route,
      port: service.port,
      needs: service.needs,
      startSeconds: service.start,
      variables: {},
    })),
    workers: Object.entries(definition.workers).map(([name, worker]) => ({
      name,
      run: worker.run,
      // Without a queue to scale on, a range from 0 still needs one process to take tasks.
      replicas: Math.max(1, worker.replicas.min),
      size: { cpu: worker.normal.cpu, memory: worker.normal.memory },
      stopSeconds: worker.stop,
      variables: {},
    })),
  };
}

/** One release of an environment together with the folder of its artifact. */
export interface ReleaseWithArtifact {
  release: ReleaseRow;
  folder: string;
  /** Whether its artifact was deleted to save space. */
  artifact: 'kept' | 'deleted';
}

export async function findRelease(
  context: Pick<Context, 'pool'>,
  appId: string,
  number: number,
): Promise<ReleaseWithArtifact | null> {
  const found = await row<ReleaseRow & { folder: string; artifactState: string }>(
    context.pool,
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
  const releases: PlannedRelease[] = [];
  if (serving) releases.push(plannedRelease(serving.release, serving.folder, 100));
  if (starting) releases.push(plannedRelease(starting.release, starting.folder, 0));
  const wanted = {
    environment: `${environment.app}/${environment.name}`,
    hosts: environmentHosts(environment, context.domain),
    sleepSeconds: environment.policy.sleep,
    tasks: 'none',
    releases,
  };
  const written = await row<{ plan: Plan }>(
    context.pool,
    `update environment
     set generation = generation + 1, plan = $2::jsonb || jsonb_build_object('generation', generation + 1), updated_at = now()
     where id = $1 and removal in ('none', 'waiting') returning plan`,
    [environment.id, wanted],
  );
  if (!written) throw new RolloutEnded();
  context.fleet.note(await context.engine.converge(written.plan));
  return written.plan;
}
