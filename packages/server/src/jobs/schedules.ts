import type { Attempt } from '@slipway/queue';
import type { Context } from '../context.ts';
import { environmentColumns, environmentTable, type EnvironmentRow } from '../database/records.ts';
import { row, rows } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { runJob } from '../rollouts/jobs.ts';
import { findRelease } from '../rollouts/plan.ts';
import { scheduledJobTask } from '../tasks.ts';

/**
 * Makes the schedules of an environment's jobs what the release that serves declares. Level-triggered: what is written down in
 * `scheduled_job` is what the queue may know, so a death in between leaves nothing behind that the next run does not find.
 */
export async function scheduleJobs(context: Context, { environmentId }: { environmentId: string }): Promise<void> {
  const wanted = new Map<string, string>();
  const serving = await findServing(context, environmentId);
  for (const [job, { schedule }] of Object.entries(serving?.release.definition.jobs ?? {}))
    if (schedule !== null) wanted.set(job, schedule);
  const known = await rows<{ job: string }>(context.pool, `select job from scheduled_job where environment_id = $1`, [
    environmentId,
  ]);
  for (const { job } of known.filter((one) => !wanted.has(one.job))) {
    await context.queue.uncron(nameOf(environmentId, job));
    await context.pool.query(`delete from scheduled_job where environment_id = $1 and job = $2`, [environmentId, job]);
  }
  for (const [job, schedule] of wanted) {
    await context.pool.query(`insert into scheduled_job (environment_id, job) values ($1, $2) on conflict do nothing`, [
      environmentId,
      job,
    ]);
    const name = nameOf(environmentId, job);
    await context.queue.cron({
      name,
      schedule,
      kind: scheduledJobTask,
      payload: { environmentId, job },
      // One runs at a time, and at most one waits for it: a job that takes longer than its interval skips times.
      key: name,
      unique: name,
    });
  }
}

/** Runs a job whose time has come, with the release that serves; how it ended is an event. */
export async function runScheduledJob(
  context: Context,
  { environmentId, job: name }: { environmentId: string; job: string },
  attempt: Attempt,
): Promise<void> {
  const serving = await findServing(context, environmentId);
  const job = serving?.release.definition.jobs[name];
  // It was removed, or the release with it does not serve any more, since its time came.
  if (!serving || !job) return;
  const { environment, ...target } = serving;
  const result = await runJob(context, {
    // By the task: a control plane that was killed attaches to the job instead of running it twice.
    id: `schedule-${attempt.taskId}`,
    environment,
    name,
    job,
    target,
    signal: attempt.signal,
  });
  const seconds = (result.finishedAt - result.startedAt) / 1000;
  const passed = result.outcome === 'succeeded';
  await appendEvent(context.pool, {
    kind: passed ? 'job.passed' : 'job.failed',
    appId: environment.appId,
    environmentId,
    sha: target.release.sha,
    message: passed
      ? `${environment.name}: the scheduled job ${name} passed in ${seconds.toFixed(1)} s.`
      : `${environment.name}: the scheduled job ${name} failed after ${seconds.toFixed(1)} s: ${result.failure?.message ?? ''} It runs again at its next time; its output: slipway logs ${environment.app}/${environment.name} --source ${name}`,
    data: { job: name, seconds, lastLines: result.lastLines.slice(-20) },
  });
}

async function findServing(context: Context, environmentId: string) {
  const environment = await row<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable}
     where environment.id = $1 and environment.removal in ('none', 'waiting') and environment.current_release is not null`,
    [environmentId],
  );
  if (environment?.currentRelease == null) return null;
  const target = await findRelease(context, environment.appId, environment.currentRelease);
  return target && { ...target, environment };
}

function nameOf(environmentId: string, job: string): string {
  return `job:${environmentId}:${job}`;
}
