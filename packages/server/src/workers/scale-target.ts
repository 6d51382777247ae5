import type { Worker } from '@slipway/app';
import type { Context } from '../context.ts';
import {
  environmentColumns,
  environmentTable,
  releaseColumns,
  type EnvironmentRow,
  type ReleaseRow,
} from '../database/records.ts';
import { row } from '../database/sql.ts';
import { queueName } from './queue-name.ts';

/** A worker of an environment, and what the release that serves says of it. */
export interface ScaleTarget {
  environment: EnvironmentRow;
  worker: string;
  queue: string;
  /** null: the release that serves has no such worker, or nothing serves. */
  declared: Worker | null;
}

/** null: there is no such environment, or it is being removed. */
export async function findTarget(context: Context, environmentId: string, worker: string): Promise<ScaleTarget | null> {
  const environment = await row<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable}
     where environment.id = $1 and environment.removal in ('none', 'waiting')`,
    [environmentId],
  );
  if (!environment) return null;
  // The one with the requests has the tasks: while a rollout ends, that is the new one before it is the current one.
  const serving = environment.plan?.releases.find(({ weight }) => weight > 0)?.number ?? null;
  const release = await row<ReleaseRow>(
    context.pool,
    `select ${releaseColumns} from release where release.app_id = $1 and release.number = $2`,
    [environment.appId, serving],
  );
  return {
    environment,
    worker,
    queue: queueName(environment, worker),
    declared: release?.definition.workers[worker] ?? null,
  };
}
