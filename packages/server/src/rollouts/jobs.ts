import type { App, Job } from '@slipway/app';
import type { JobResult, LogLine } from '@slipway/engine';
import type { Context } from '../context.ts';
import type { RolloutRow } from '../database/records.ts';
import { appendEvent } from '../events/append.ts';
import type { ReleaseWithArtifact } from './plan.ts';
import { endRollout, RolloutEnded } from './transitions.ts';

/** The before-deploy jobs of a release, in the order of its file. A job that fails ends the rollout before anything is started. */
export async function runBeforeDeployJobs(
  context: Context,
  rollout: RolloutRow,
  target: ReleaseWithArtifact,
  signal: AbortSignal,
): Promise<void> {
  const jobs = Object.entries(target.release.definition.jobs).filter(([, job]) => job.when === 'before-deploy');
  for (const [name, job] of jobs) {
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
    const result = await runJob(context, {
      // One id per rollout: a control plane that was killed attaches to the migration instead of running it twice.
      id: `rollout-${rollout.id}-${name}`,
      environment: `${rollout.app}/${rollout.environment}`,
      name,
      job,
      target,
      signal,
    });
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

export interface JobOfRelease {
  id: string;
  environment: string;
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
  return await context.engine.run(
    {
      id: run.id,
      environment: run.environment,
      run: run.job.run,
      folder,
      access: 'read-only',
      variables: {
        ...release.config,
        SLIPWAY_APP: definition.app,
        SLIPWAY_ENVIRONMENT: run.environment.split('/')[1] ?? '',
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
