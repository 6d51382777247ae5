import type { Patch } from '@slipway/app';
import type { PlannedJob } from '@slipway/engine';
import type { IJobSpec } from 'kubernetes-models/batch/v1';
import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { contentHash, labelOf, MAX_CRON_JOB } from './names.ts';
import { metadata } from './owner.ts';
import { podTemplate } from './pod.ts';
import type { Process, ReleasePart } from './release-part.ts';
import { processName, selectorLabels } from './release-part.ts';
import { kubernetesSchedule } from './schedule.ts';

/** Seconds between SIGTERM and SIGKILL of a job that takes too long. */
const GRACE_SECONDS = 30;

/** A Job for what runs before a deploy, a CronJob for what has a schedule. */
export function jobObject(part: ReleasePart, job: PlannedJob, patches: readonly Patch[]): KubernetesObject {
  return job.when === 'schedule' ? cronJob(part, job) : beforeDeploy(part, job, patches);
}

/**
 * A Job can't be changed and must not run twice for one release, so its name holds a hash of what it runs: applied again it is there
 * already, and for another commit, or with another patch, it is another one.
 */
function beforeDeploy(part: ReleasePart, job: PlannedJob, patches: readonly Patch[]): KubernetesObject {
  const process: Process = { component: 'job', name: job.name };
  const spec = jobSpec(part, job, process);
  const changes = patches.filter(({ target }) => target.kind === 'Job').map(({ target, patch }) => ({ target, patch }));
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metadata(part.owner, labelOf([job.name, contentHash([spec, ...changes])]), {
      labels: sortedMap(selectorLabels(part, process)),
      annotations: { 'slipway.dev/runs': 'before-deploy' },
    }),
    spec,
  };
}

function cronJob(part: ReleasePart, job: PlannedJob): KubernetesObject {
  const process: Process = { component: 'job', name: job.name };
  const labels = sortedMap(selectorLabels(part, process));
  const about = metadata(part.owner, processName(part, process, MAX_CRON_JOB), { labels });
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: about,
    spec: {
      schedule: kubernetesSchedule(job.schedule ?? ''),
      timeZone: 'Etc/UTC',
      concurrencyPolicy: 'Forbid',
      // Later than this a run is left out; and without it a controller that was away for long never starts it again.
      startingDeadlineSeconds: 200,
      successfulJobsHistoryLimit: 1,
      failedJobsHistoryLimit: 3,
      jobTemplate: { metadata: { labels: about.labels }, spec: jobSpec(part, job, process) },
    },
  };
}

function jobSpec(part: ReleasePart, job: PlannedJob, process: Process): IJobSpec {
  return {
    // A failed migration is looked at by a person, not tried again.
    backoffLimit: 0,
    activeDeadlineSeconds: Math.ceil(job.timeoutSeconds),
    template: podTemplate(part, {
      process,
      run: job.run,
      image: job.image,
      size: job.size,
      variables: { SLIPWAY_JOB: job.name },
      graceSeconds: GRACE_SECONDS,
      mayMove: 'no',
      lasts: 'until-done',
    }),
  };
}
