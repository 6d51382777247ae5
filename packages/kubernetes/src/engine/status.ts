import type { EnvironmentStatus, Failure, InstanceState, InstanceStatus, PlannedRelease } from '@slipway/engine';
import type { Diagnosis } from '../observe/diagnose.ts';
import type { PodView } from '../observe/pod-view.ts';
import { labelOf } from '../render/names.ts';
import type { Decision } from './decision.ts';
import type { EnvironmentRecord, Share } from './record.ts';
import { publicUrls } from './traffic.ts';

/** What a status is told from. */
export interface StatusFacts {
  record: EnvironmentRecord;
  decision: Decision;
  pods: readonly { pod: PodView; diagnosis: Diagnosis }[];
  /** Pods that are gone since the last status. */
  gone: readonly InstanceStatus[];
  /** Releases that the gateway was seen to bring requests to. */
  reached: readonly Share[];
  /** Why no pods of a process can be made; null: they can. */
  refusal: (process: string) => string | null;
  activity: EnvironmentStatus['activity'];
  /** Port at which requests come in; null: not known. */
  port: number | null;
  lastRequestAt: number | null;
  notices: readonly string[];
  /** Since when an instance is in its state, milliseconds since 1970. */
  since: (id: string, state: InstanceState) => number;
}

/** The status of one environment. Pure. */
export function environmentStatus(facts: StatusFacts): EnvironmentStatus {
  const { record, decision, reached, activity } = facts;
  const instances = facts.pods.flatMap((one) => instanceStatus(one.pod, one.diagnosis, facts.since) ?? []);
  return {
    environment: record.plan.environment,
    generation: record.plan.generation,
    activity,
    traffic: activity === 'asleep' ? [] : [...reached],
    instances: [...instances, ...(activity === 'asleep' ? [] : missing(facts, instances)), ...facts.gone],
    urls: publicUrls(record.plan, decision.releases, reached, facts.port),
    lastRequestAt: facts.lastRequestAt,
    notices: [...facts.notices],
  };
}

/** @returns null for pods that are no instance, such as jobs. */
export function instanceStatus(pod: PodView, diagnosis: Diagnosis, since: StatusFacts['since']): InstanceStatus | null {
  const { component, process, release } = pod;
  if (process === null || release === null || (component !== 'service' && component !== 'worker')) return null;
  return {
    id: instanceId(pod),
    release,
    kind: component,
    name: process,
    state: diagnosis.state,
    since: since(instanceId(pod), diagnosis.state),
    restarts: pod.container?.restarts ?? 0,
    address: component === 'service' && pod.address !== null ? `http://${pod.address}` : null,
    pid: null,
    failure: diagnosis.failure,
  };
}

export function instanceId(pod: Pick<PodView, 'namespace' | 'name'>): string {
  return `${pod.namespace}/${pod.name}`;
}

/** Instances that are wanted and have no pod yet: they wait for those they need, or for a controller, or a quota is used up. */
function missing(
  { decision, record, refusal, since }: StatusFacts,
  there: readonly InstanceStatus[],
): InstanceStatus[] {
  const named = new Set(record.plan.releases.map(({ number }) => number));
  return decision.releases
    .filter(({ number }) => named.has(number))
    .flatMap((release) =>
      processes(release).flatMap(({ kind, name, replicas }) => {
        const live = there.filter(
          (one) => one.release === release.number && one.name === name && one.state !== 'draining',
        ).length;
        const why = refusal(labelOf([name, `r${release.number}`]));
        const state = why === null ? 'pending' : 'failing';
        return Array.from({ length: Math.max(0, replicas - live) }, (_, index): InstanceStatus => {
          const id = `${record.namespace}/${name}-r${release.number}-${live + index + 1}`;
          return {
            id,
            release: release.number,
            kind,
            name,
            state,
            since: since(id, state),
            restarts: 0,
            address: null,
            pid: null,
            failure: why === null ? null : refused(why),
          };
        });
      }),
    );
}

function processes({ services, workers }: PlannedRelease) {
  return [
    ...services.map(({ name, replicas }) => ({ kind: 'service' as const, name, replicas })),
    ...workers.map(({ name, replicas, lanes }) => ({
      kind: 'worker' as const,
      name,
      replicas: lanes === undefined ? replicas : lanes.reduce((sum, lane) => sum + (lane.replicas ?? 0), 0),
    })),
  ];
}

function refused(why: string): Failure {
  const quota = /exceeded quota/.test(why);
  const message = quota
    ? `The quota of the namespace is used up, so no instance can be made: ${why}`
    : `The cluster refuses to make an instance: ${why}`;
  return { code: 'unschedulable', message, exitCode: null, signal: null, lastLines: [] };
}
