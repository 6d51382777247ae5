import type { INode, IPod } from 'kubernetes-models/v1';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { collectionPath, objectPath } from '../api/resources.ts';
import { cpuOf, memoryOf } from '../render/quantity.ts';
import type { Evidence } from './diagnose.ts';
import type { PodView } from './pod-view.ts';
import type { NodeRoom } from './unschedulable.ts';

const LINES = 20;

/** Asks the cluster what helps to explain a pod in trouble. What can't be read is left out. */
export async function collectEvidence(api: ApiClient, pod: PodView): Promise<Evidence> {
  const unschedulable = pod.scheduled.met === 'no';
  const [events, lastLines, nodes] = await Promise.all([
    orNothing(eventsOf(api, pod)),
    unschedulable ? [] : orNothing(lastLinesOf(api, pod)),
    unschedulable ? orNothing(roomOfNodes(api)) : [],
  ]);
  return { events, lastLines, nodes };
}

async function orNothing<T>(asked: Promise<T[]>): Promise<T[]> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError) return [];
    throw error;
  }
}

interface KubernetesEvent {
  reason?: string;
  message?: string;
  lastTimestamp?: string | null;
  eventTime?: string | null;
  metadata: { creationTimestamp?: string };
}

async function eventsOf(api: ApiClient, { namespace, uid }: PodView): Promise<{ reason: string; message: string }[]> {
  const query = new URLSearchParams({ fieldSelector: `involvedObject.uid=${uid}` });
  const { items } = await api.get<{ items: KubernetesEvent[] }>(
    `${collectionPath('Event', namespace)}?${query.toString()}`,
  );
  const time = ({ lastTimestamp, eventTime, metadata }: KubernetesEvent): string =>
    lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '';
  return items
    .sort((a, b) => (time(a) < time(b) ? -1 : 1))
    .map(({ reason = '', message = '' }) => ({ reason, message }));
}

/** Of the container that ended: the one before, if another runs already. */
async function lastLinesOf(api: ApiClient, pod: PodView): Promise<string[]> {
  const container = pod.preparing ?? pod.container;
  if (container === null) return [];
  // Between an end and the next start the one that ended is still the current one; during it, and in the back-off after it, it is the previous one.
  const tries = container.state.kind === 'running' || container.restarts > 0 ? ['true', 'false'] : ['false'];
  for (const previous of container.state.kind === 'ended' ? ['false'] : tries) {
    const query = new URLSearchParams({ container: container.name, tailLines: `${LINES}`, previous });
    const path = `${objectPath('Pod', pod.namespace, pod.name)}/log?${query.toString()}`;
    const text = await api.text(path).catch(() => null);
    if (text !== null && text !== '') return text.replace(/\n$/, '').split('\n');
  }
  return [];
}

async function roomOfNodes(api: ApiClient): Promise<NodeRoom[]> {
  const query = new URLSearchParams({ fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed' });
  const [nodes, pods] = await Promise.all([
    api.get<{ items: INode[] }>(collectionPath('Node')),
    api.get<{ items: IPod[] }>(`${collectionPath('Pod')}?${query.toString()}`),
  ]);
  return nodes.items.map((node) => {
    const own = pods.items.filter(({ spec }) => spec?.nodeName === node.metadata?.name);
    const requests = own.flatMap(
      ({ spec }) => spec?.containers.map(({ resources }) => resources?.requests ?? {}) ?? [],
    );
    const { cpu = 0, memory = 0 } = node.status?.allocatable ?? {};
    return {
      name: node.metadata?.name ?? '',
      scheduling: node.spec?.unschedulable === true ? 'closed' : 'open',
      cpu: cpuOf(cpu) - requests.reduce((sum, one) => sum + cpuOf(one['cpu'] ?? 0), 0),
      memory: memoryOf(memory) - requests.reduce((sum, one) => sum + memoryOf(one['memory'] ?? 0), 0),
    };
  });
}
