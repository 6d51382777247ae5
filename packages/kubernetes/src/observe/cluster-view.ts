import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IJob } from 'kubernetes-models/batch/v1';
import type { INamespace, IPod } from 'kubernetes-models/v1';
import type { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import type { Kind } from '../api/resources.ts';
import { Watch, type Watched } from '../api/watch.ts';
import { markOf, type Mark } from '../apply/mark.ts';
import { ObjectStore } from '../apply/object-store.ts';
import { MANAGER_LABEL } from '../render/owner.ts';
import { namespaceView, type NamespaceView } from './namespace-view.ts';
import { podView, type PodView } from './pod-view.ts';

export interface ViewListener {
  /** Something in this namespace, or the namespace itself, is not as it was. */
  touched(namespace: string): void;
  /** Somebody edited or deleted what is ours. */
  interfered(namespace: string, told: string): void;
  /** A pod is gone; it may have left the cluster between two looks. */
  left(pod: PodView): void;
  trouble(kind: Kind, error: ApiError | null): void;
}

/** Of these only the metadata is asked for: nothing else decides. */
const MARKED: readonly Kind[] = [
  'ConfigMap',
  'CronJob',
  'EndpointSlice',
  'HorizontalPodAutoscaler',
  'NetworkPolicy',
  'PodDisruptionBudget',
  'ResourceQuota',
  'Secret',
  'Service',
  'ServiceAccount',
];

const OURS = `${MANAGER_LABEL}=slipway`;

/** What Slipway has in a cluster, kept up to date by watches. Nothing is asked for again while they go on. */
export class ClusterView {
  readonly objects: ObjectStore;
  readonly #listener: ViewListener;
  readonly #watches: { start(): Promise<void>; stop(): Promise<void> }[];
  readonly #pods = new Map<string, Map<string, PodView>>();
  readonly #namespaces = new Map<string, NamespaceView>();
  /** Why a Deployment can't make pods, such as a quota, by `NAMESPACE/NAME`. */
  readonly #refusals = new Map<string, string>();
  readonly #jobs = new Map<string, 'runs' | 'done' | 'failed'>();

  constructor(api: ApiClient, listener: ViewListener, route: 'HTTPRoute' | 'Ingress') {
    this.#listener = listener;
    this.objects = new ObjectStore({
      changed: (mark, drift) => {
        if (drift !== null) listener.interfered(mark.namespace, drift);
        listener.touched(mark.namespace);
      },
      deleted: (mark, by) => {
        if (by === 'somebody')
          listener.interfered(mark.namespace, `${mark.kind} ${mark.name} was deleted; Slipway has made it again`);
        listener.touched(mark.namespace);
      },
    });
    this.#watches = [
      new Watch<IPod & Watched>(api, {
        kind: 'Pod',
        labelSelector: OURS,
        content: 'whole',
        replaced: async (pods) => this.#replacePods(await Array.fromAsync(pods, podView)),
        changed: (pod) => this.#putPod(podView(pod)),
        deleted: (pod) => this.#removePod(podView(pod)),
        trouble: (error) => listener.trouble('Pod', error),
      }),
      this.#watch<INamespace & Watched>(api, 'Namespace', 'whole', {
        put: (one) => this.#namespaces.set(one.metadata.name, namespaceView(one)),
        remove: (mark) => this.#namespaces.delete(mark.name),
      }),
      this.#watch<IDeployment & Watched>(api, 'Deployment', 'whole', {
        put: (one) => this.#putDeployment(one),
        remove: (mark) => this.#refusals.delete(`${mark.namespace}/${mark.name}`),
      }),
      this.#watch<IJob & Watched>(api, 'Job', 'whole', {
        put: (one) => this.#jobs.set(placeOf(one), jobState(one)),
        remove: (mark) => this.#jobs.delete(`${mark.namespace}/${mark.name}`),
      }),
      ...[...MARKED, route].map((kind) => this.#watch<Watched>(api, kind, 'metadata', NOTHING)),
    ];
  }

  /** Resolves when everything there is was read once. */
  async start(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.stop()));
  }

  pods(namespace: string): PodView[] {
    return [...(this.#pods.get(namespace)?.values() ?? [])];
  }

  pod(namespace: string, name: string): PodView | undefined {
    return this.#pods.get(namespace)?.get(name);
  }

  namespace(name: string): NamespaceView | undefined {
    return this.#namespaces.get(name);
  }

  /** Every namespace of an environment, also those that are being deleted. */
  namespacesOf(environment: string): NamespaceView[] {
    return [...this.#namespaces.values()].filter((one) => one.environment === environment);
  }

  refusal(namespace: string, deployment: string): string | null {
    return this.#refusals.get(`${namespace}/${deployment}`) ?? null;
  }

  job(namespace: string, name: string): 'runs' | 'done' | 'failed' | null {
    return this.#jobs.get(`${namespace}/${name}`) ?? null;
  }

  #watch<T extends Watched>(
    api: ApiClient,
    kind: Kind,
    content: 'whole' | 'metadata',
    also: { put: (object: T) => void; remove: (mark: Mark) => void },
  ): Watch<T> {
    return new Watch<T>(api, {
      kind,
      labelSelector: OURS,
      content,
      replaced: async (objects) => {
        const before = this.objects.ofKind(kind);
        const marks = await Array.fromAsync(objects, (object) => (also.put(object), markOf(kind, object)));
        const there = new Set(marks.map(({ uid }) => uid));
        for (const mark of before) if (!there.has(mark.uid)) also.remove(mark);
        this.objects.replace(kind, marks.filter(isApplied));
      },
      changed: (object) => {
        also.put(object);
        const mark = markOf(kind, object);
        if (isApplied(mark)) this.objects.put(mark);
      },
      deleted: (object) => {
        const mark = markOf(kind, object);
        also.remove(mark);
        this.objects.remove(mark);
      },
      trouble: (error) => this.#listener.trouble(kind, error),
    });
  }

  #putDeployment(deployment: IDeployment & Watched): void {
    const failure = deployment.status?.conditions?.find(
      ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
    );
    if (failure === undefined) this.#refusals.delete(placeOf(deployment));
    else this.#refusals.set(placeOf(deployment), failure.message ?? failure.reason ?? 'no pod can be made');
  }

  #replacePods(pods: readonly PodView[]): void {
    const there = new Set(pods.map(({ uid }) => uid));
    for (const known of [...this.#pods.values()].flatMap((of) => [...of.values()]))
      if (!there.has(known.uid)) this.#removePod(known);
    for (const pod of pods) this.#putPod(pod);
  }

  #putPod(pod: PodView): void {
    const pods = this.#pods.get(pod.namespace) ?? new Map<string, PodView>();
    pods.set(pod.name, pod);
    this.#pods.set(pod.namespace, pods);
    this.#listener.touched(pod.namespace);
  }

  #removePod(pod: PodView): void {
    const pods = this.#pods.get(pod.namespace);
    if (pods?.get(pod.name)?.uid !== pod.uid) return;
    pods.delete(pod.name);
    if (pods.size === 0) this.#pods.delete(pod.namespace);
    this.#listener.left(pod);
    this.#listener.touched(pod.namespace);
  }
}

const NOTHING = { put: () => undefined, remove: () => undefined };

/** Controllers copy labels to what they make, such as EndpointSlices: those are theirs. */
function isApplied({ applied }: Mark): boolean {
  return applied !== null;
}

function placeOf({ metadata }: Watched): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function jobState({ status }: IJob): 'runs' | 'done' | 'failed' {
  const has = (type: string): boolean =>
    status?.conditions?.some((one) => one.type === type && one.status === 'True') === true;
  return has('Complete') ? 'done' : has('Failed') ? 'failed' : 'runs';
}
