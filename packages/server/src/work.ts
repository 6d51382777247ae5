import { SlipwayError } from '@slipway/app';
import { Snooze, type Attempt, type TaskKind } from '@slipway/queue';
import { runCheck } from './commits/check.ts';
import { prepareCommit } from './commits/prepare.ts';
import { failCommit } from './commits/settle.ts';
import { synchronize } from './commits/synchronize.ts';
import type { Context } from './context.ts';
import { expireEnvironment, removeEnvironment } from './environments/remove.ts';
import { runScheduledJob, scheduleJobs } from './jobs/schedules.ts';
import { collectArtifacts } from './releases/collect.ts';
import { advanceRollout, failRollout } from './rollouts/rollout.ts';
import { collectTaskObjects } from './workers/collect-objects.ts';
import { scaleWorker } from './workers/scale.ts';
import {
  checkTask,
  collectObjectsTask,
  collectTask,
  expireTask,
  maintainTask,
  prepareTask,
  removeTask,
  rolloutTask,
  scaleTask,
  scheduledJobTask,
  scheduleTask,
  synchronizeTask,
} from './tasks.ts';

/** A passing fault is tried again this often, with a growing pause, before the thing it is about is given up with a reason. */
const mostTries = 30;

/** Checks and builds are what uses a machine up, so few run at once; the rest mostly waits. */
const heavy = { concurrency: 4 };
const light = { concurrency: 32 };

/** Tells the queue which function does which task. */
export function registerWork(context: Context): void {
  const work = <P>(
    kind: TaskKind<P>,
    handler: (payload: P, attempt: Attempt) => Promise<void>,
    options: { concurrency: number },
    giveUp?: (payload: P, reason: string) => Promise<void>,
  ): void => {
    context.queue.work(
      kind,
      async (payload, attempt) => {
        try {
          await handler(payload, attempt);
        } catch (error) {
          if (attempt.signal.aborted) throw error;
          const transient = error instanceof SlipwayError && error.kind === 'transient';
          const last = attempt.number >= (transient ? mostTries : kind.retries + 1);
          context.log(
            `task ${kind.name}, try ${attempt.number}: ${error instanceof SlipwayError ? error.message : stackOf(error)}`,
          );
          if (last && giveUp)
            await giveUp(
              payload,
              error instanceof SlipwayError ? error.message : 'an internal error, see the log of the control plane',
            );
          if (transient && !last) throw new Snooze(Math.min(0.25 * 2 ** attempt.number, 30));
          throw error;
        }
      },
      options,
    );
  };

  work(synchronizeTask, async ({ app }) => void (await synchronize(context, app, 'slipway')), light);
  work(
    prepareTask,
    (payload, attempt) => prepareCommit(context, payload, attempt),
    heavy,
    ({ appId, sha }, reason) => failCommit(context, appId, sha, `the artifact could not be made: ${reason}`),
  );
  work(checkTask, (payload, attempt) => runCheck(context, payload, attempt), heavy, failCheck(context));
  work(
    rolloutTask,
    (payload, attempt) => advanceRollout(context, payload, attempt),
    light,
    ({ rolloutId }, reason) => failRollout(context, rolloutId, reason),
  );
  work(removeTask, (payload) => removeEnvironment(context, payload), light);
  work(expireTask, (payload) => expireEnvironment(context, payload), light);
  work(maintainTask, ({ app }) => context.forge.maintain(app), heavy);
  work(scheduleTask, (payload) => scheduleJobs(context, payload), light);
  work(scheduledJobTask, (payload, attempt) => runScheduledJob(context, payload, attempt), light);
  work(scaleTask, (payload) => scaleWorker(context, payload), light);
  work(collectObjectsTask, () => collectTaskObjects(context), light);
  work(collectTask, (payload) => collectArtifacts(context, payload), light);
}

function failCheck(context: Context) {
  return async ({ checkRunId }: { checkRunId: string }, reason: string): Promise<void> => {
    const { rows } = await context.pool.query<{ appId: string; sha: string; name: string }>(
      `update check_run set state = 'failed', reason = $2, finished_at = now()
       where id = $1 and state in ('queued', 'running') returning app_id as "appId", sha, name`,
      [checkRunId, `it could not be run: ${reason}`],
    );
    const failed = rows[0];
    if (failed) await failCommit(context, failed.appId, failed.sha, `check ${failed.name} could not be run: ${reason}`);
  };
}

function stackOf(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : String(error);
}
