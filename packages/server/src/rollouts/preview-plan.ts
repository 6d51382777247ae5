import { SlipwayError } from '@slipway/app';
import type { ObjectChange, Plan } from '@slipway/engine';
import { readConfig, readDefinition } from '../commits/definition.ts';
import type { Context } from '../context.ts';
import type { EnvironmentRow, ReleaseRow } from '../database/records.ts';
import { row } from '../database/sql.ts';
import { pinnedNow } from '../releases/images.ts';
import { planFor } from './plan.ts';

/** What deploying a commit would change in an environment's objects. */
export interface PlanDifference {
  /** Full hash. */
  commit: string;
  changes: ObjectChange[];
}

/**
 * Compares what is in the cluster with what it would be with a commit. Release numbers are part of names and would make everything new, so the commit is
 * looked at under the number of the release that serves. Nothing is written, here or there.
 *
 * @param commitName null: the commit that the environment runs, so that only what somebody changed by hand differs; without one, the newest of its branch.
 * @throws {SlipwayError} `mistake` where no objects are made; `not-found` for a commit or an image that is not there.
 */
export async function differenceOf(
  context: Context,
  environment: EnvironmentRow,
  commitName: string | null,
): Promise<PlanDifference> {
  const { engine } = context.engines.of(environment);
  if (engine.diff === undefined)
    throw new SlipwayError(
      'mistake',
      `${environment.name} runs on the engine ${engine.name}, which makes no objects of plans.`,
      { hint: `What runs there: slipway status ${environment.app}/${environment.name}` },
    );
  const { sha } = await context.forge.commit(environment.app, commitName ?? (await commitOf(context, environment)));
  const plan = await planOf(context, environment, sha);
  return { commit: sha, changes: await engine.diff(plan) };
}

async function commitOf({ pool }: Context, environment: EnvironmentRow): Promise<string> {
  const serving = await row<{ sha: string }>(pool, `select sha from release where app_id = $1 and number = $2`, [
    environment.appId,
    environment.currentRelease,
  ]);
  if (serving) return serving.sha;
  if (environment.branch !== null) return environment.branch;
  throw new SlipwayError('conflict', `${environment.name} has no release yet.`, {
    hint: 'Say which commit: --commit SHA',
  });
}

async function planOf(context: Context, environment: EnvironmentRow, sha: string): Promise<Plan> {
  const read = await readDefinition(context.forge, environment.app, sha);
  if (!read.ok) throw new SlipwayError('mistake', read.reason);
  const definition = read.app;
  const config = await readConfig(context.forge, definition, sha, environment);
  if (!config.ok) throw new SlipwayError('mistake', config.reason);
  const release: ReleaseRow = {
    appId: environment.appId,
    number: environment.currentRelease ?? 1,
    environmentId: environment.id,
    sha,
    artifact: '',
    definition,
    config: config.config,
    images: await pinnedNow(context, environment.appId, { definition, sha }),
    actor: '',
    createdAt: new Date(),
    servedAt: null,
  };
  const plan = await planFor(context, environment, [{ release, folder: '', weight: 100 }]);
  return context.queueAccess.withToken({ ...plan, generation: Number(environment.generation) + 1 });
}
