import { SlipwayError } from '@slipway/app';
import type { Failure, JobResult, JobRun, LogLine } from '@slipway/engine';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { collectionPath, objectPath } from '../api/resources.ts';
import { FIELD_MANAGER } from '../apply/managed-fields.ts';
import type { ClusterView } from '../observe/cluster-view.ts';
import { causeOfEnd, diagnose, NO_EVIDENCE } from '../observe/diagnose.ts';
import { podView, type PodView } from '../observe/pod-view.ts';
import { MANAGER_LABEL } from '../render/owner.ts';
import { POD_SECURITY_LABELS } from '../render/namespace.ts';
import { ENDED_ANNOTATION, FOLDER_LABEL, folderName, JOB_LABEL, jobPod, jobPodName, type JobPlace } from './job-pod.ts';
import { JOB_ANNOTATION, type LogReader } from './logs.ts';

/** A PersistentVolumeClaim for folders that jobs change, in the namespace of jobs. */
export interface WorkClaim {
  name: string;
}

export interface JobOptions {
  /** Of jobs that belong to no environment. */
  namespace: string;
  claim: WorkClaim | null;
  pullSecret: string | null;
}

/** How long the pod of a job that has ended is there, for its result and its logs. */
const KEPT_MILLISECONDS = 24 * 3_600_000;
const LAST_LINES = 200;
const FAILURE_LINES = 20;

/**
 * Runs jobs as pods. The pod is all there is to know about a job: its id is in its name, so that asking again finds it; how it ended is its
 * status; why it was made to end is an annotation, written in the same request that ends it.
 */
export class JobRunner {
  readonly #api: ApiClient;
  readonly #view: ClusterView;
  readonly #logs: LogReader;
  readonly #options: JobOptions;
  readonly #listeners = new Set<() => void>();
  readonly #stopped = new AbortController();
  readonly #removing = new Set<string>();
  #place: Promise<void> | null = null;

  constructor(api: ApiClient, view: ClusterView, logs: LogReader, options: JobOptions) {
    this.#api = api;
    this.#view = view;
    this.#logs = logs;
    this.#options = options;
  }

  touched(namespace: string): void {
    this.#logs.touched(namespace);
    for (const listener of this.#listeners) listener();
  }

  stop(): void {
    this.#stopped.abort();
    for (const listener of this.#listeners) listener();
  }

  /** Jobs in these namespaces that are gone were ended on request. */
  removing(namespaces: readonly string[]): void {
    for (const namespace of namespaces) this.#removing.add(namespace);
  }

  /** @param environment Namespace of the job's environment; null: it has none. */
  async run(
    job: JobRun,
    environment: string | null,
    options: { output?: (line: LogLine) => void; signal?: AbortSignal },
  ): Promise<JobResult> {
    const namespace = environment ?? this.#options.namespace;
    this.#removing.delete(namespace);
    const place = await this.#placeOf(job, environment);
    await this.#make(job, place);
    const name = jobPodName(job.id);
    const signal = AbortSignal.any([this.#stopped.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const output = this.#output(namespace, name, options.output ?? (() => undefined), signal);
    // It may fail long before somebody waits for it, which would end the process.
    output.catch(() => undefined);
    const pod = await this.#until(namespace, name, job, signal);
    if (pod === null) return this.#vanished(job, namespace);
    await output;
    return await this.#result(job, pod);
  }

  async cancel(id: string): Promise<void> {
    const query = new URLSearchParams({ labelSelector: `${JOB_LABEL}=${jobPodName(id)}` });
    type Pods = { items: Parameters<typeof podView>[0][] };
    const { items } = await this.#api.get<Pods>(`${collectionPath('Pod')}?${query.toString()}`);
    await Promise.all(
      items
        .map(podView)
        .filter(isOpen)
        .map((pod) => this.#end(pod, 'cancelled')),
    );
  }

  /**
   * The kubelet ends a pod whose time is over as any other: SIGTERM, then SIGKILL. Its status and its logs stay, which they don't when it is
   * deleted.
   */
  async #end(pod: PodView, why: 'timeout' | 'cancelled'): Promise<void> {
    const path = objectPath('Pod', pod.namespace, pod.name);
    const change = { metadata: { annotations: { [ENDED_ANNOTATION]: why } }, spec: { activeDeadlineSeconds: 1 } };
    try {
      await this.#api.merge(path, change);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }

  async #placeOf(job: JobRun, environment: string | null): Promise<JobPlace> {
    const { namespace, claim, pullSecret } = this.#options;
    if (environment !== null) return { namespace: environment, serviceAccount: null, pullSecret, changed: null };
    this.#place ??= this.#makeNamespace();
    await this.#place;
    const path = folderName(job.folder);
    const changed = claim !== null && (job.access === 'read-write' || (await this.#wasChanged(path)));
    return { namespace, serviceAccount: null, pullSecret, changed: changed ? { claim: claim.name, path } : null };
  }

  async #makeNamespace(): Promise<void> {
    const { namespace } = this.#options;
    const labels = { [MANAGER_LABEL]: 'slipway', ...POD_SECURITY_LABELS };
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } };
    await this.#api.apply(objectPath('Namespace', null, namespace), body, FIELD_MANAGER, 'no');
  }

  async #wasChanged(folder: string): Promise<boolean> {
    const query = new URLSearchParams({ labelSelector: `${FOLDER_LABEL}=${folder}`, limit: '1' });
    const path = `${collectionPath('Pod', this.#options.namespace)}?${query.toString()}`;
    return (await this.#api.get<{ items: unknown[] }>(path)).items.length > 0;
  }

  async #make(job: JobRun, place: JobPlace): Promise<void> {
    const { pod, secret } = jobPod(job, place);
    if (this.#view.pod(place.namespace, jobPodName(job.id)) !== undefined) return;
    if (secret !== null) await this.#create('Secret', place.namespace, secret);
    await this.#create('Pod', place.namespace, pod);
  }

  async #create(kind: 'Pod' | 'Secret', namespace: string, body: unknown): Promise<void> {
    try {
      await this.#api.create(collectionPath(kind, namespace), body);
    } catch (error) {
      // Somebody else asked for the same id, or this process did before it was killed.
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
    }
  }

  /** Waits until the pod has ended, and ends it when its time is over. @returns null when it is gone. */
  async #until(namespace: string, name: string, job: JobRun, signal: AbortSignal): Promise<PodView | null> {
    let seen = false;
    let timer: NodeJS.Timeout | null = null;
    let ending = false;
    try {
      for (;;) {
        if (signal.aborted) throw new SlipwayError('transient', `Detached from job ${job.id}; it goes on.`);
        const pod = this.#view.pod(namespace, name);
        if (pod === undefined ? seen : pod.phase === 'Succeeded' || pod.phase === 'Failed') return pod ?? null;
        if (pod !== undefined) seen = true;
        if (pod !== undefined && isHopeless(pod)) return pod;
        const began = pod?.container?.state.kind === 'running' ? pod.container.state.since : null;
        const news = this.#news(signal);
        if (pod !== undefined && began !== null && !ending) {
          // The kubelet tells the start in full seconds; a job gets too much rather than too little.
          const left = began + 1000 + job.timeoutSeconds * 1000 - Date.now();
          if (left <= 0) {
            ending = true;
            await this.#end(pod, 'timeout');
          } else {
            // Set anew at each look: a timer may fire a millisecond before the clock is there, and then nothing else would.
            if (timer !== null) clearTimeout(timer);
            timer = setTimeout(() => this.touched(namespace), left);
          }
        }
        await news;
      }
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  }

  async #news(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#listeners.add(resolve);
    const abort = (): void => resolve();
    signal.addEventListener('abort', abort);
    await promise;
    signal.removeEventListener('abort', abort);
    this.#listeners.delete(resolve);
  }

  async #output(namespace: string, name: string, take: (line: LogLine) => void, signal: AbortSignal): Promise<void> {
    for (;;) {
      if (signal.aborted) return;
      const pod = this.#view.pod(namespace, name);
      const kind = pod?.container?.state.kind;
      if (pod !== undefined && (kind === 'running' || kind === 'ended')) {
        for await (const line of this.#logs.whole(pod, signal)) take(line);
        return;
      }
      if (pod !== undefined && (pod.phase === 'Failed' || isHopeless(pod))) return;
      await this.#news(signal);
    }
  }

  async #result(job: JobRun, pod: PodView): Promise<JobResult> {
    const lastLines = await this.#logs.lastLines(pod, LAST_LINES).catch(() => []);
    const ended = jobFailure(job, pod, lastLines.slice(-FAILURE_LINES));
    // A pod that is deleted is killed first, and may be seen between the two.
    const failure = ended !== null && this.#isRemoved(pod.namespace) ? REMOVED : ended;
    const end = pod.container?.state.kind === 'ended' ? pod.container.state : null;
    if (isOpen(pod)) await this.#end(pod, 'cancelled');
    await this.#tidy(job, pod);
    return {
      id: pod.annotations[JOB_ANNOTATION] ?? job.id,
      outcome: failure === null ? 'succeeded' : 'failed',
      failure,
      lastLines,
      startedAt: end?.began ?? pod.createdAt,
      finishedAt: end?.at ?? Date.now(),
    };
  }

  /** Its variables are wanted no more, and neither are jobs of long ago: their results were told. */
  async #tidy(job: JobRun, { namespace }: PodView): Promise<void> {
    const names = this.#view
      .pods(namespace)
      .filter((pod) => pod.component === 'job' && !isOpen(pod) && Date.now() - pod.createdAt > KEPT_MILLISECONDS)
      .map(({ name }) => objectPath('Pod', namespace, name));
    const secrets =
      Object.keys(job.variables).length === 0 ? [] : [objectPath('Secret', namespace, jobPodName(job.id))];
    await Promise.allSettled([...secrets, ...names].map((path) => this.#api.delete(path)));
  }

  #isRemoved(namespace: string): boolean {
    const terminating = this.#view.namespace(namespace)?.terminating ?? null;
    return this.#removing.has(namespace) || terminating !== null;
  }

  #vanished(job: JobRun, namespace: string): JobResult {
    const failure =
      this.#isRemoved(namespace) || this.#view.namespace(namespace) === undefined
        ? REMOVED
        : failureOf(
            'lost',
            'Its pod was deleted, so nobody knows how it ended. Look at what it does before it is run again.',
          );
    return { id: job.id, outcome: 'failed', failure, lastLines: [], startedAt: Date.now(), finishedAt: Date.now() };
  }
}

const REMOVED = failureOf('cancelled', 'It was ended, because its environment was removed.');

function isOpen({ phase }: PodView): boolean {
  return phase !== 'Succeeded' && phase !== 'Failed';
}

/** It waits for something that does not come: an image, a key. */
function isHopeless(pod: PodView): boolean {
  const state = (pod.preparing ?? pod.container)?.state.kind ?? 'waiting';
  return state === 'waiting' && isOpen(pod) && diagnose(pod, NO_EVIDENCE, Date.now()).state === 'failing';
}

function failureOf(code: Failure['code'], message: string, lastLines: string[] = []): Failure {
  return { code, message, exitCode: null, signal: null, lastLines };
}

/** Why a job's pod that has ended is no success. */
function jobFailure(job: JobRun, pod: PodView, lastLines: string[]): Failure | null {
  const ended = pod.annotations[ENDED_ANNOTATION];
  if (pod.phase === 'Succeeded') return null;
  if (ended === 'cancelled') return failureOf('cancelled', 'It was ended on request.', lastLines);
  if (ended === 'timeout' || pod.reason === 'DeadlineExceeded')
    return failureOf(
      'timeout',
      `It ran longer than ${job.timeoutSeconds} s and was ended. Raise its timeout, or let it do less.`,
      lastLines,
    );
  const container = pod.container;
  if (container?.state.kind === 'ended') return causeOfEnd(container, container.state, { ...NO_EVIDENCE, lastLines });
  return (
    diagnose(pod, NO_EVIDENCE, Date.now()).failure ??
    failureOf('lost', pod.message ?? 'Nobody knows how it ended.', lastLines)
  );
}
