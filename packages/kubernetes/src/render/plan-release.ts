import type { App, Job, Lane, Service, Worker } from '@slipway/app';
import { plannedService, RUNNER_BYTES, RUNNER_STOP_SECONDS } from '@slipway/engine';
import type { PlannedJob, PlannedLane, PlannedRelease, PlannedService, PlannedWorker } from '@slipway/engine';
import { imageOf } from './image.ts';
import { byText } from './kubernetes-object.ts';

const START_RUNNER =
  'export SLIPWAY_URL="$SLIPWAY_QUEUE_URL" SLIPWAY_TOKEN="$SLIPWAY_QUEUE_TOKEN"; eval exec "$SLIPWAY_START_RUNNER"';
/** What tasks get of the variables of the runner, beside config and secrets. */
const PASSED_ON = [
  'SLIPWAY_APP',
  'SLIPWAY_COMMIT',
  'SLIPWAY_ENVIRONMENT',
  'SLIPWAY_QUEUE_TOKEN',
  'SLIPWAY_QUEUE_URL',
  'SLIPWAY_RELEASE',
];

export type LaneName = PlannedLane['lane'];

export interface ReleaseOptions {
  /** Name of the environment, `pr-12` for that of a pull request. */
  environment: string;
  number: number;
  commit: string;
  weight: number;
  /** Config of the environment, and what else all processes are told. */
  variables: Readonly<Record<string, string>>;
  /** What runs for an image of `slipway.yaml`: the same with its digest. Those that are missing stay as they are. */
  images: ReadonlyMap<string, string>;
  /** How large a lane is, and how many pods it has now (null: nobody has decided it). */
  lane: (worker: string, lane: LaneName) => Lane & { replicas: number | null };
  /** Jobs that are objects of the cluster; `none` where a control plane runs them. */
  jobs: 'all' | 'none';
}

/**
 * A release of an app whose processes are containers.
 *
 * @throws {SlipwayError} `mistake` when something has no image.
 */
export function planRelease(app: App, options: ReleaseOptions): PlannedRelease {
  const { number, commit, weight, variables } = options;
  const image = (section: 'services' | 'workers' | 'jobs', name: string): string => {
    const declared = imageOf(app, section, name);
    return options.images.get(declared) ?? declared;
  };
  return {
    number,
    commit,
    weight,
    artifact: '',
    variables: { ...variables },
    services: Object.entries(app.services).map(([name, service]) =>
      containerService(name, service, image('services', name)),
    ),
    workers: Object.entries(app.workers).map(([name, worker]) =>
      containerWorker(app, options, { name, worker, image: image('workers', name) }),
    ),
    jobs:
      options.jobs === 'none'
        ? []
        : Object.entries(app.jobs).flatMap(([name, job]) => containerJob(name, job, () => image('jobs', name))),
  };
}

function containerService(name: string, service: Service, image: string): PlannedService {
  return { ...plannedService(name, service), image, maxReplicas: service.replicas.max };
}

function containerJob(name: string, job: Job, image: () => string): PlannedJob[] {
  if (job.when === 'by-hand') return [];
  const { run, when, schedule, size, timeout } = job;
  return [{ name, run, image: image(), when, schedule, size, timeoutSeconds: timeout }];
}

function containerWorker(
  app: App,
  { environment, variables, lane: decided }: ReleaseOptions,
  { name, worker, image }: { name: string; worker: Worker; image: string },
): PlannedWorker {
  const normal = decided(name, 'normal');
  const fallback = worker.fallback === null ? normal : decided(name, 'fallback');
  const runner = (lane: LaneName): string =>
    JSON.stringify({
      kind: `${app.app}/${environment}/${name}`,
      retries: worker.retries,
      fallback: worker.fallback === null ? 'none' : 'bigger',
      command: worker.run,
      process: worker.process,
      limits: { normal: limitsOf(normal), fallback: limitsOf(fallback) },
      slots: { normal: lane === 'normal' ? 1 : 0, fallback: lane === 'fallback' ? 1 : 0 },
      pass: [...new Set([...PASSED_ON, ...Object.keys(variables), ...app.secrets])].sort(byText),
      graceSeconds: worker.stop,
    });
  const planned = (lane: LaneName, { cpu, memory, replicas }: ReturnType<ReleaseOptions['lane']>): PlannedLane => ({
    lane,
    replicas,
    maxReplicas: worker.replicas.max,
    size: { cpu, memory: memory + RUNNER_BYTES },
    variables: { SLIPWAY_RUNNER: runner(lane) },
  });
  return {
    name,
    run: START_RUNNER,
    image,
    replicas: 0,
    size: { cpu: normal.cpu, memory: normal.memory + RUNNER_BYTES },
    stopSeconds: worker.stop + RUNNER_STOP_SECONDS,
    variables: {},
    lanes: [planned('normal', normal), ...(worker.fallback === null ? [] : [planned('fallback', fallback)])],
  };
}

function limitsOf({ cpu, memory, timeout }: Lane) {
  return { cpu, memoryBytes: memory, timeoutSeconds: timeout };
}
