import type { IPod } from 'kubernetes-models/v1';
import type { Watched } from '../api/watch.ts';
import { COMPONENT_LABEL, NAME_LABEL, OWNER_LABEL, RELEASE_LABEL } from '../render/owner.ts';

/** What is kept of a pod: what its status is told from, some 500 bytes of the 10 kB that it has. */
export interface PodView {
  name: string;
  namespace: string;
  uid: string;
  version: number;
  owner: string | null;
  component: string | null;
  /** Service, worker or job. */
  process: string | null;
  release: number | null;
  /** Annotations that begin with `slipway.dev/`. */
  annotations: Readonly<Record<string, string>>;
  node: string | null;
  address: string | null;
  phase: string;
  /** Why the whole pod ended, such as `Evicted` or `DeadlineExceeded`. */
  reason: string | null;
  message: string | null;
  createdAt: number;
  /** `leaving`: its end was asked for. */
  life: 'stays' | 'leaving';
  ready: Condition;
  scheduled: Condition;
  container: ContainerView | null;
  /** Containers that run before; the first that does not get on. */
  preparing: ContainerView | null;
}

export interface Condition {
  met: 'yes' | 'no';
  reason: string | null;
  message: string | null;
  /** Milliseconds since 1970; null: not said. */
  since: number | null;
}

export interface ContainerView {
  name: string;
  image: string;
  restarts: number;
  /** Whether the startup probe was met. */
  started: 'yes' | 'no';
  state: ContainerState;
  /** How it ended the time before. */
  last: Ended | null;
}

export type ContainerState =
  | { kind: 'waiting'; reason: string; message: string }
  | { kind: 'running'; since: number }
  | Ended;

export interface Ended {
  kind: 'ended';
  exitCode: number;
  signal: number | null;
  reason: string;
  message: string;
  at: number;
  began: number;
}

type Status = NonNullable<NonNullable<IPod['status']>['containerStatuses']>[number];

/** A pod as the API gives it, without what nobody asks for. */
export function podView(pod: IPod & Watched): PodView {
  const { metadata, spec, status = {} } = pod;
  const labels = metadata.labels ?? {};
  const process = labels[NAME_LABEL] ?? null;
  const release = Number(labels[RELEASE_LABEL] ?? Number.NaN);
  const statuses = status.containerStatuses ?? [];
  const main = statuses.find(({ name }) => name === process) ?? statuses[0];
  const preparing = (status.initContainerStatuses ?? []).find(({ state }) => state?.terminated?.exitCode !== 0);
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    uid: metadata.uid,
    version: Number(metadata.resourceVersion),
    owner: labels[OWNER_LABEL] ?? null,
    component: labels[COMPONENT_LABEL] ?? null,
    process,
    release: Number.isNaN(release) ? null : release,
    annotations: Object.fromEntries(
      Object.entries(metadata.annotations ?? {}).filter(([name]) => name.startsWith('slipway.dev/')),
    ),
    node: spec?.nodeName ?? null,
    address: status.podIP ?? null,
    phase: status.phase ?? 'Pending',
    reason: status.reason ?? null,
    message: status.message ?? null,
    createdAt: timeOf(metadata.creationTimestamp) ?? 0,
    life: metadata.deletionTimestamp === undefined ? 'stays' : 'leaving',
    ready: condition(pod, 'Ready'),
    scheduled: condition(pod, 'PodScheduled'),
    container: main === undefined ? null : containerView(main),
    preparing: preparing === undefined ? null : containerView(preparing),
  };
}

function condition({ status }: IPod, type: string): Condition {
  const found = status?.conditions?.find((one) => one.type === type);
  return {
    met: found?.status === 'True' ? 'yes' : 'no',
    reason: found?.reason ?? null,
    message: found?.message ?? null,
    since: timeOf(found?.lastTransitionTime),
  };
}

function containerView(status: Status): ContainerView {
  const { name, image, restartCount, started, state = {}, lastState } = status;
  return {
    name,
    image,
    restarts: restartCount,
    started: started === true ? 'yes' : 'no',
    state: stateOf(state),
    last: lastState?.terminated === undefined ? null : ended(lastState.terminated),
  };
}

function stateOf({ running, terminated, waiting }: NonNullable<Status['state']>): ContainerState {
  if (running !== undefined) return { kind: 'running', since: timeOf(running.startedAt) ?? 0 };
  if (terminated !== undefined) return ended(terminated);
  return { kind: 'waiting', reason: waiting?.reason ?? '', message: waiting?.message ?? '' };
}

function ended(terminated: NonNullable<NonNullable<Status['state']>['terminated']>): Ended {
  return {
    kind: 'ended',
    exitCode: terminated.exitCode,
    signal: terminated.signal ?? null,
    reason: terminated.reason ?? '',
    message: terminated.message ?? '',
    at: timeOf(terminated.finishedAt) ?? 0,
    began: timeOf(terminated.startedAt) ?? 0,
  };
}

function timeOf(text: string | undefined | null): number | null {
  return text === undefined || text === null ? null : Date.parse(text);
}
