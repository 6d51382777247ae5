import { formatWithOptions } from 'node:util';
import { SlipwayError } from '@slipway/app';
import { checkPlan } from '@slipway/engine';
import type {
  Engine,
  EnvironmentStatus,
  ExecIo,
  ExecRequest,
  ObjectChange,
  Protection,
  JobResult,
  JobRun,
  LogLine,
  LogRequest,
  Observation,
  Plan,
} from '@slipway/engine';
import type { ClusterAccess } from '../api/access.ts';
import { ApiClient, type CallCount } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import { FIELD_MANAGER } from '../apply/managed-fields.ts';
import { ClusterView } from '../observe/cluster-view.ts';
import { MANAGER_LABEL, ownerOf } from '../render/owner.ts';
import type { Target } from '../render/target.ts';
import { Activator, type ActivatorOptions } from './activator.ts';
import { diffObjects } from './diff.ts';
import { Entrance, type EntranceAddress } from './entrance.ts';
import { Environment } from './environment.ts';
import { execInPod } from './exec.ts';
import { JobRunner, type WorkClaim } from './job-runner.ts';
import { LogReader } from './logs.ts';
import { nextRecord, plannedKeys, plannedObjects } from './next-record.ts';
import { ObservationHub } from './observation-hub.ts';
import { applyProtection, verifyProtection } from './protect.ts';
import { RecordStore } from './record.ts';
import type { Surroundings } from './surroundings.ts';
import { spareBusy } from './spare.ts';

export interface KubernetesEngineOptions {
  /** Default `kubernetes`. */
  name?: string;
  /** How the cluster is reached; asked for at each start. */
  access: () => Promise<ClusterAccess>;
  target: Target;
  /** Secret of this control plane, always the same: names that are made with it can't be guessed. */
  key: string;
  /** Variables of an environment that go into a Secret. Default: all of them. */
  secretNames?: (environment: string) => readonly string[] | 'all';
  /** Where the gateway is reached from here; null: its status tells. */
  entrance?: EntranceAddress | null;
  /** Where the proxy for environments that sleep listens; its address for others is in `target.activator`. */
  activator?: ActivatorOptions;
  /** Namespace of jobs that belong to no environment. Default `slipway-jobs`. */
  jobsNamespace?: string;
  /** Where folders are that jobs may change. Without it they are gone with the job. */
  workClaim?: WorkClaim;
  /** Hears what no caller can be told. Default: standard error. */
  report?: (problem: string) => void;
}

/**
 * Makes plans true on a Kubernetes cluster.
 *
 * The plans are in the cluster, and everything else is what the watches show, so it may be killed at any time: the next one goes on. An
 * image is what a release's artifact is here, and what the folder of a job is.
 *
 * @example
 * const engine = new KubernetesEngine({ access: async () => await readKubeconfig(), target: DEFAULT_TARGET, key });
 * await engine.start();
 * await engine.converge(plan);
 */
export class KubernetesEngine implements Engine {
  readonly name: string;
  readonly starts = 'image';
  readonly #options: KubernetesEngineOptions;
  readonly #hub = new ObservationHub();
  readonly #report: (problem: string) => void;
  #running: Running | null = null;
  #starting: Promise<void> | null = null;

  constructor(options: KubernetesEngineOptions) {
    this.name = options.name ?? 'kubernetes';
    this.#options = options;
    this.#report =
      options.report ?? ((problem) => process.stderr.write(formatWithOptions({}, 'slipway: %s\n', problem)));
  }

  /** Calls to the API server since the start, for figures. */
  get calls(): Readonly<CallCount> {
    return this.#here().api.calls;
  }

  async start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = null;
      throw error;
    });
    await this.#starting;
  }

  async stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#starting = null;
    const running = this.#running;
    this.#running = null;
    this.#hub.close();
    if (running === null) return;
    for (const environment of running.environments.values()) environment.stop();
    await running.activator?.stop();
    running.jobs.stop();
    await running.view.stop();
    await running.api.close();
  }

  async #start(): Promise<void> {
    const { target, key, secretNames } = this.#options;
    const api = new ApiClient(await this.#options.access());
    const environments = new Map<string, Environment>();
    const places = new Places(environments, () => view);
    const view: ClusterView = new ClusterView(
      api,
      {
        touched: (namespace) => {
          places.of(namespace)?.touch();
          jobs.touched(namespace);
        },
        interfered: (namespace, told) => places.of(namespace)?.interfered(told),
        left: (pod) => places.of(pod.namespace)?.left(pod),
        trouble: (kind, error) => {
          if (error !== null) this.#report(`${kind}: ${error.message}`);
        },
      },
      target.entrance.kind === 'gateway' ? 'HTTPRoute' : 'Ingress',
    );
    const records = new RecordStore(api, target.controlPlaneNamespace);
    const logs = new LogReader(api, view);
    const jobs = new JobRunner(api, view, logs, {
      namespace: this.#options.jobsNamespace ?? 'slipway-jobs',
      claim: this.#options.workClaim ?? null,
      pullSecret: target.pullSecret,
    });
    await ensureNamespace(api, target.controlPlaneNamespace);
    const around: Surroundings = {
      api,
      view,
      records,
      entrance: await Entrance.find(api, target, this.#options.entrance ?? null),
      render: (environment) => ({
        target,
        key,
        secretNames: secretNames?.(environment) ?? 'all',
      }),
      protect: once(async () => await applyProtection(api)),
      publish: (observation) => {
        if (observation.kind === 'removed') environments.delete(observation.environment);
        this.#hub.publish(observation);
      },
      now: Date.now,
    };
    const [stored] = await Promise.all([records.all(), view.start()]);
    for (const one of stored) environments.set(one.record.plan.environment, new Environment(around, one));
    const activator =
      this.#options.activator === undefined ? null : new Activator(environments, this.#options.activator);
    await activator?.start();
    this.#running = { api, view, around, environments, jobs, logs, activator, creating: new Map() };
    for (const environment of environments.values()) environment.touch();
  }

  async converge(plan: Plan): Promise<EnvironmentStatus> {
    checkPlan(plan);
    const { environments, creating } = this.#here();
    const known = environments.get(plan.environment);
    if (known !== undefined) return await known.accept(plan);
    const begun = creating.get(plan.environment);
    if (begun !== undefined) return await begun.then(async (environment) => await environment.accept(plan));
    const making = this.#create(plan);
    creating.set(plan.environment, making);
    try {
      return await (await making).accept(plan);
    } finally {
      creating.delete(plan.environment);
    }
  }

  async #create(plan: Plan): Promise<Environment> {
    const { around, environments } = this.#here();
    const found = await around.records.get(plan.environment);
    const first = nextRecord(
      plan,
      null,
      plannedKeys(plan, ownerOf(plan.environment).namespace, around.render(plan.environment)),
    );
    if (first === null) throw new Error('a first plan is always a change');
    const stored = found ?? { record: first, version: await around.records.put(first, null) };
    const environment = new Environment(around, stored);
    environments.set(plan.environment, environment);
    environment.touch();
    return environment;
  }

  observe(signal: AbortSignal): AsyncIterable<Observation> {
    const { environments } = this.#here();
    return this.#hub.observe(
      [...environments.values()].map((environment) => environment.status()),
      signal,
    );
  }

  async remove(environment: string): Promise<void> {
    const { environments, jobs, view } = this.#here();
    const known = environments.get(environment);
    if (known === undefined) return;
    const namespaces = view.namespacesOf(environment).map(({ name }) => name);
    jobs.removing(namespaces);
    await known.remove();
  }

  async spare(environment: string, instances: readonly string[]): Promise<void> {
    const { environments, view, api } = this.#here();
    const known = environments.get(environment);
    if (known !== undefined) await spareBusy(api, view.pods(known.record.namespace), new Set(instances));
  }

  /** See `Engine.diff`. Compared is what the plan is in the end, not a step on the way to it. */
  async diff(plan: Plan): Promise<ObjectChange[]> {
    checkPlan(plan);
    const { around, api, view, environments } = this.#here();
    const namespace = environments.get(plan.environment)?.record.namespace ?? ownerOf(plan.environment).namespace;
    const objects = plannedObjects(plan, namespace, around.render(plan.environment));
    return await diffObjects(api, namespace, objects, view.objects.in(namespace));
  }

  async verifyProtection(environment: string): Promise<Protection> {
    const { environments, api } = this.#here();
    const known = environments.get(environment);
    if (known === undefined) throw notFound(environment, [...environments.keys()]);
    return await verifyProtection(api, known.record.namespace);
  }

  async *logs(request: LogRequest, signal: AbortSignal): AsyncGenerator<LogLine> {
    const { logs, environments } = this.#here();
    const environment = environments.get(request.environment);
    if (environment === undefined) throw notFound(request.environment, [...environments.keys()]);
    yield* logs.read(environment.record.namespace, request, signal);
  }

  async run(job: JobRun, options: { output?: (line: LogLine) => void; signal?: AbortSignal } = {}): Promise<JobResult> {
    const { jobs, environments } = this.#here();
    // What runs before the first release has no namespace of its own yet.
    const environment = job.environment === null ? null : (environments.get(job.environment) ?? null);
    return await jobs.run({ ...job, folder: job.image ?? job.folder }, environment?.record.namespace ?? null, options);
  }

  async cancel(jobId: string): Promise<void> {
    await this.#here().jobs.cancel(jobId);
  }

  async exec(request: ExecRequest, io: ExecIo): Promise<{ exitCode: number }> {
    const { api, environments } = this.#here();
    const environment = environments.get(request.environment);
    if (environment === undefined) throw notFound(request.environment, [...environments.keys()]);
    return await execInPod(api, environment, request, io);
  }

  #here(): Running {
    if (this.#running === null) throw new SlipwayError('transient', `The engine ${this.name} is not started`);
    return this.#running;
  }
}

interface Running {
  api: ApiClient;
  view: ClusterView;
  around: Surroundings;
  environments: Map<string, Environment>;
  jobs: JobRunner;
  logs: LogReader;
  activator: Activator | null;
  /** Environments whose first plan is being written. */
  creating: Map<string, Promise<Environment>>;
}

/** Which environment a namespace is for. */
class Places {
  readonly #environments: ReadonlyMap<string, Environment>;
  readonly #view: () => ClusterView;

  constructor(environments: ReadonlyMap<string, Environment>, view: () => ClusterView) {
    this.#environments = environments;
    this.#view = view;
  }

  of(namespace: string): Environment | undefined {
    if (this.#environments.size === 0) return undefined;
    const name = this.#view().namespace(namespace)?.environment ?? null;
    if (name !== null) return this.#environments.get(name);
    // It is gone, and so is what it said about itself.
    return [...this.#environments.values()].find(({ record }) => record.namespace === namespace);
  }
}

/** Done once; what failed is tried again by the next who wants it. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  return async () => {
    done ??= work().catch((error: unknown) => {
      done = null;
      throw error;
    });
    await done;
  };
}

async function ensureNamespace(api: ApiClient, name: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { [MANAGER_LABEL]: 'slipway' } } };
  await api.apply(objectPath('Namespace', null, name), body, FIELD_MANAGER, 'no');
}

function notFound(environment: string, names: readonly string[]): SlipwayError {
  return new SlipwayError('not-found', `There is no environment ${environment} on this cluster`, {
    hint: names.length === 0 ? 'There is none yet.' : `There are: ${names.slice(0, 10).join(', ')}.`,
  });
}
