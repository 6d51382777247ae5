import { nearest, SlipwayError } from '@slipway/app';
import type { Context } from '../context.ts';
import {
  appColumns,
  environmentColumns,
  environmentTable,
  rolloutColumns,
  rolloutTable,
  type AppRow,
  type EnvironmentRow,
  type RolloutRow,
} from '../database/records.ts';
import { row, rows } from '../database/sql.ts';

/** Finds what a path names. @throws {SlipwayError} `not-found` with the nearest name there is. */

export async function findApp(context: Context, name: string): Promise<AppRow> {
  const found = await row<AppRow>(context.pool, `select ${appColumns} from app where name = $1`, [name]);
  if (found) return found;
  const names = await rows<{ name: string }>(context.pool, `select name from app`);
  throw missing(
    `There is no app ${name}.`,
    name,
    names.map((one) => one.name),
    'slipway status lists the apps.',
  );
}

/** `name` is an environment's name, or the branch of a pull request. */
export async function findEnvironment(context: Context, app: string, name: string): Promise<EnvironmentRow> {
  const { id } = await findApp(context, app);
  const live = await rows<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable} where environment.app_id = $1 and environment.removal <> 'removed'`,
    [id],
  );
  const found =
    live.find((one) => one.name === name) ?? live.find((one) => one.kind === 'pull-request' && one.branch === name);
  if (found) return found;
  throw missing(
    `${app} has no environment ${name}.`,
    name,
    live.map((one) => one.name),
    `slipway status ${app} lists its environments.`,
  );
}

export async function findRollout(context: Context, id: string): Promise<RolloutRow> {
  const found = /^\d{1,18}$/.test(id)
    ? await row<RolloutRow>(context.pool, `select ${rolloutColumns} from ${rolloutTable} where rollout.id = $1`, [id])
    : null;
  if (found) return found;
  throw new SlipwayError('not-found', `There is no rollout ${id}.`, { hint: 'slipway events APP lists them.' });
}

function missing(message: string, name: string, candidates: string[], otherwise: string): SlipwayError {
  const near = nearest(name, candidates);
  return new SlipwayError('not-found', message, { hint: near === null ? otherwise : `Did you mean ${near}?` });
}
