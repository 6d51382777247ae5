import { SlipwayError } from '@slipway/app';
import { readConfig } from '../commits/definition.ts';
import type { Context } from '../context.ts';
import {
  commitColumns,
  releaseColumns,
  type CommitRow,
  type EnvironmentRow,
  type ReleaseRow,
  type RolloutRow,
} from '../database/records.ts';
import { row, theRow, transaction } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import type { Site } from '../environments/engines.ts';
import { RolloutEnded } from '../rollouts/transitions.ts';
import { pinImages } from './images.ts';

/**
 * Freezes commit, artifact, definition and config into the next numbered release of the app, and names it in the rollout, in one
 * transaction. What is frozen never changes; going back to it restores all of it.
 *
 * @param signal aborting it stops waiting for images.
 * @throws {SlipwayError} `mistake` when the config of this environment is not valid.
 * @throws {RolloutEnded}
 */
export async function freezeRelease(context: Context, rollout: RolloutRow, signal: AbortSignal): Promise<ReleaseRow> {
  // A control plane that was killed right after this has its release already.
  if (rollout.release !== null)
    return await theRow<ReleaseRow>(
      context.pool,
      `select ${releaseColumns} from release where app_id = $1 and number = $2`,
      [rollout.appId, rollout.release],
    );
  const commit = await theRow<CommitRow>(
    context.pool,
    `select ${commitColumns} from commit where app_id = $1 and sha = $2`,
    [rollout.appId, rollout.sha],
  );
  const { definition } = commit;
  if (!definition || commit.artifact === null)
    throw new Error(`commit ${rollout.sha} is to be released without an artifact`);
  const environment = await theRow<Pick<EnvironmentRow, 'name' | 'policy' | 'engine'>>(
    context.pool,
    `select name, policy, engine from environment where id = $1`,
    [rollout.environmentId],
  );
  const { engine } = engineFor(context, rollout, environment);
  const config = await readConfig(context.forge, definition, rollout.sha, environment);
  if (!config.ok) throw new SlipwayError('mistake', config.reason);
  if (definition.secrets.length > 0)
    throw new SlipwayError(
      'mistake',
      `slipway.yaml names secrets (${definition.secrets.join(', ')}), which this version can't decrypt yet.`,
      { hint: 'Take `secrets:` out, or give the values as config for now.' },
    );
  const databases = Object.keys(definition.databases);
  if (databases.length > 0)
    throw new SlipwayError(
      'mistake',
      `slipway.yaml declares databases (${databases.join(', ')}), which this version can't provide yet.`,
      { hint: 'Take `databases:` out, and give the URL of a database of your own as config.' },
    );
  const images =
    engine.starts === 'image' ? await pinImages(context, rollout, { definition, sha: rollout.sha }, signal) : null;
  return await transaction(context.pool, async (client) => {
    // From here on that is where it runs.
    await client.query(`update environment set engine = $2 where id = $1`, [rollout.environmentId, engine.name]);
    const { number } = await theRow<{ number: number }>(
      client,
      `update app set last_release = last_release + 1 where id = $1 returning last_release as number`,
      [rollout.appId],
    );
    const release = await theRow<ReleaseRow>(
      client,
      `insert into release (app_id, number, environment_id, sha, artifact, definition, config, images, actor)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning ${releaseColumns}`,
      [
        rollout.appId,
        number,
        rollout.environmentId,
        rollout.sha,
        commit.artifact,
        definition,
        config.config,
        images,
        rollout.actor,
      ],
    );
    const named = await row(
      client,
      `update rollout set release = $2 where id = $1 and state = 'running' and release is null returning id`,
      [rollout.id, number],
    );
    // Its end was recorded meanwhile: the number goes to the next one.
    if (!named) throw new RolloutEnded();
    await appendEvent(client, {
      kind: 'release.created',
      appId: rollout.appId,
      environmentId: rollout.environmentId,
      rolloutId: rollout.id,
      sha: rollout.sha,
      actor: rollout.actor,
      message: `Release ${number} for ${environment.name} is frozen: ${rollout.sha.slice(0, 8)} "${commit.subject}".`,
      data: { release: number },
    });
    return release;
  });
}

/** Where the environment runs. Moving it is up to a person: what runs at the old place would be forgotten there. */
function engineFor(
  context: Context,
  { app }: RolloutRow,
  environment: Pick<EnvironmentRow, 'name' | 'policy' | 'engine'>,
): Site {
  const { name, engine, policy } = environment;
  if (engine === null || engine === policy.engine) return context.engines.of(environment);
  throw new SlipwayError('mistake', `${name} runs on ${engine}, and slipway.yaml asks for ${policy.engine} now.`, {
    hint: `Declare an environment of another name there, or remove this one first: slipway remove ${app}/${name} --confirm ${name}`,
  });
}
