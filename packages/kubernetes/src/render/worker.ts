import type { PlannedLane, PlannedWorker } from '@slipway/engine';
import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { metadata } from './owner.ts';
import { podTemplate } from './pod.ts';
import type { Process, ReleasePart } from './release-part.ts';
import { processName, selectorLabels } from './release-part.ts';
import { runnerParts } from './runner.ts';
import { GRACE_MARGIN_SECONDS } from './service.ts';

/**
 * A Deployment for each lane, one task at a time in each pod: the scheduler finds room for a pod of the lane's size, and small tasks don't
 * reserve what the few large ones need.
 */
export function workerObjects(part: ReleasePart, worker: PlannedWorker): KubernetesObject[] {
  return lanesOf(worker).map((lane): KubernetesObject => {
    const process: Process = {
      component: 'worker',
      name: worker.name,
      ...(lane.lane === null ? {} : { lane: lane.lane }),
    };
    const selector = sortedMap(selectorLabels(part, process));
    const { start, ...runner } = runnerParts(part.target, part.owner, lane.size);
    return {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: metadata(part.owner, processName(part, process), {
        labels: selector,
        annotations: { 'slipway.dev/max-replicas': `${lane.maxReplicas}` },
      }),
      spec: {
        ...(lane.replicas === null ? {} : { replicas: lane.replicas }),
        selector: { matchLabels: selector },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: '25%' } },
        template: podTemplate(part, {
          process,
          run: worker.run,
          image: worker.image,
          size: lane.size,
          variables: {
            ...worker.variables,
            ...lane.variables,
            ...(lane.lane === null ? {} : { SLIPWAY_START_RUNNER: start }),
          },
          ...(lane.lane === null ? {} : runner),
          graceSeconds: Math.ceil(worker.stopSeconds) + GRACE_MARGIN_SECONDS,
          // A worker has pods while it has tasks: whoever moves one interrupts a task.
          mayMove: 'no',
          lasts: 'always',
        }),
      },
    };
  });
}

/** A worker without lanes in the plan is a plain process: it knows by itself what to do. */
function lanesOf(worker: PlannedWorker): (Omit<PlannedLane, 'lane'> & { lane: PlannedLane['lane'] | null })[] {
  const { lanes, replicas, size } = worker;
  return lanes ?? [{ lane: null, replicas, maxReplicas: replicas, size, variables: {} }];
}
