import type { Plan, PlannedRelease } from '@slipway/engine';
import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import type { Owner } from './owner.ts';
import { metadata } from './owner.ts';
import { PROTECTED_LABEL } from './protection.ts';
import { cpuQuantity, memoryQuantity } from './quantity.ts';

/** Labels by which the API server refuses pods that are not `restricted`, whoever makes them. */
export const POD_SECURITY_LABELS: Readonly<Record<string, string>> = {
  'pod-security.kubernetes.io/audit': 'restricted',
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
};

/** What may be used beside the plan: by jobs that are run by hand, and before a deploy. */
export interface Room {
  pods: number;
  cpu: number;
  memory: number;
}

const NO_ROOM: Room = { pods: 0, cpu: 0, memory: 0 };

/** The namespace of an environment, what may be used in it at most, and the account of its pods, which may do nothing. */
export function namespaceObjects(owner: Owner, plan: Plan, room: Room = NO_ROOM): KubernetesObject[] {
  const labels = plan.protected === true ? { ...POD_SECURITY_LABELS, [PROTECTED_LABEL]: 'true' } : POD_SECURITY_LABELS;
  const { namespace: _, ...about } = metadata(owner, owner.namespace, { labels });
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: about },
    {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: metadata(owner, owner.app),
      spec: { hard: quota(plan, room) },
    },
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: metadata(owner, owner.app),
      automountServiceAccountToken: false,
    },
  ];
}

/**
 * Twice what runs at most, because old and new pods are there together while a rollout goes on, and pods that end still count. It is a
 * stop for what got out of hand, and no budget. Addresses outside of the gateway's are none of an app's business.
 */
function quota({ releases }: Plan, room: Room): Record<string, string> {
  const pods = releases.flatMap(podsOf);
  const sum = (amount: (pod: PodCount) => number): number =>
    2 * pods.reduce((total, pod) => total + pod.count * amount(pod), 0);
  return sortedMap({
    pods: `${Math.max(1, sum(() => 1) + room.pods)}`,
    'requests.cpu': cpuQuantity(sum(({ cpu }) => cpu) + room.cpu),
    'requests.memory': memoryQuantity(sum(({ memory }) => memory) + room.memory),
    'limits.memory': memoryQuantity(sum(({ memory }) => memory) + room.memory),
    'services.loadbalancers': '0',
    'services.nodeports': '0',
  });
}

interface PodCount {
  count: number;
  cpu: number;
  memory: number;
}

function podsOf({ services, workers, jobs = [] }: PlannedRelease): PodCount[] {
  return [
    ...services.map(({ replicas, maxReplicas = 0, size }) => ({ count: Math.max(replicas, maxReplicas), ...size })),
    ...workers.flatMap(({ lanes, replicas, size }) =>
      lanes === undefined
        ? [{ count: replicas, ...size }]
        : lanes.map(({ maxReplicas, size }) => ({ count: maxReplicas, ...size })),
    ),
    ...jobs.map(({ size }) => ({ count: 1, ...size })),
  ];
}
