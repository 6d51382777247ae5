import { messageOf, type App, type Job } from '@slipway/app';
import { imageOf } from '@slipway/kubernetes';
import type { JobResult, LogLine } from '@slipway/engine';
import type { Context } from '../context.ts';
import type { EnvironmentRow, RolloutRow } from '../database/records.ts';
import type { Site } from '../environments/engines.ts';
import { appendEvent } from '../events/append.ts';
import { queueUrl } from '../workers/queue-access.ts';
import { releaseVariables, type ReleaseWithArtifact } from './plan.ts';
import { endRollout, loadRollout, RolloutEnded } from './transitions.ts';

/**
 * The before-deploy jobs of a release, in the order of its file. A job that fails ends the rollout before anything is started.
 *
 * A migration is not cut off because a newer commit came: it is waited for, and the newer rollout's jobs begin after it, so that two never
 * overlap. When a person cancels the rollout, or the environment is being removed, its job is ended.
 *
 * @param signals `stopping`: this process lets go of the job, the next one attaches to it. `ended`: the rollout's end was recorded by somebody else.
 */
export async function runBeforeDeployJobs(
  context: Context,
  rollout: RolloutRow,
  environment: EnvironmentRow,
  target: ReleaseWithArtifact,
  signals: { stopping: AbortSignal; ended: AbortSignal },
): Promise<void> {
  const site = context.engines.of(environment);
  const jobs = Object.entries(target.release.definition.jobs).filter(([, job]) => job.when === 'before-deploy');
  for (const [name, job] of jobs) {
    signals.ended.throwIfAborted();
    // One id per rollout: a control plane that was killed attaches to the migration instead of running it twice.
    const id = `rollout-${rollout.id}-${name}`;
    const about = {
      appId: rollout.appId,
      environmentId: rollout.environmentId,
      rolloutId: rollout.id,
      sha: rollout.sha,
    };
    await appendEvent(context.pool, {
      kind: 'job.started',
      ...about,
      message: `Job ${name} runs.`,
      data: { job: name },
    });
    const cancel = (): void => void cancelUnlessSuperseded(context, site, rollout, id);
    signals.ended.addEventListener('abort', cancel);
    const result = await runJob(context, {
      id,
      environment,
      name,
      job,
      target,
      signal: signals.stopping,
    }).finally(() => signals.ended.removeEventListener('abort', cancel));
    const seconds = (result.finishedAt - result.startedAt) / 1000;
    const passed = result.outcome === 'succeeded';
    const why = result.failure?.message ?? '';
    await appendEvent(context.pool, {
      kind: passed ? 'job.passed' : 'job.failed',
      ...about,
      message: passed
        ? `Job ${name} passed in ${seconds.toFixed(1)} s.`
        : `Job ${name} failed after ${seconds.toFixed(1)} s: ${why}`,
      data: { job: name, seconds, lastLines: result.lastLines.slice(-20) },
    });
    if (passed) continue;
    await endRollout(context, rollout, 'failed', `job ${name} failed: ${why}`, {
      lastLines: result.lastLines.slice(-20),
    });
    throw new RolloutEnded();
  }
}

async function cancelUnlessSuperseded(
  context: Context,
  { engine }: Site,
  { id }: RolloutRow,
  jobId: string,
): Promise<void> {
  try {
    const { state } = await loadRollout(context, id);
    if (state !== 'superseded') await engine.cancel(jobId);
  } catch (error) {
    context.log(`job ${jobId} could not be ended, it is waited for: ${messageOf(error)}`);
  }
}

export interface JobOfRelease {
  id: string;
  environment: Pick<EnvironmentRow, 'app' | 'name' | 'engine' | 'policy'>;
  name: string;
  job: Job;
  target: ReleaseWithArtifact;
  signal: AbortSignal;
  output?: (line: LogLine) => void;
}

/** Runs one declared job with the artifact and config of a release. */
export async function runJob(context: Context, run: JobOfRelease): Promise<JobResult> {
  const { release, folder } = run.target;
  const definition: App = release.definition;
  const { app, name: place } = run.environment;
  const { engine, controlPlaneUrl } = context.engines.of(run.environment);
  const environment = `${app}/${place}`;
  const image = release.images === null ? undefined : imageFor(definition, release.images, run.name);
  return await engine.run(
    {
      id: run.id,
      environment,
      source: run.name,
      run: run.job.run,
      folder,
      ...(image === undefined ? {} : { image, cpu: run.job.size.cpu }),
      access: 'read-only',
      variables: {
        ...context.queueAccess.withTokenIn(
          releaseVariables(release, await queueUrl(context.pool, run.environment, controlPlaneUrl)),
          context.queueAccess.token(environment),
        ),
        SLIPWAY_APP: definition.app,
        SLIPWAY_ENVIRONMENT: place,
        SLIPWAY_RELEASE: String(release.number),
        SLIPWAY_COMMIT: release.sha,
        SLIPWAY_JOB: run.name,
      },
      timeoutSeconds: run.job.timeout,
      memory: run.job.size.memory,
    },
    { signal: run.signal, ...(run.output ? { output: run.output } : {}) },
  );
}

/** The image of a job, as it was frozen. */
function imageFor(definition: App, images: Readonly<Record<string, string>>, job: string): string {
  const declared = imageOf(definition, 'jobs', job);
  return images[declared] ?? declared;
}
