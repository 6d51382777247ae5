import type { App, Lane, Worker } from '@slipway/app';
import { plannedService } from '@slipway/engine';
import type { Plan, PlannedJob, PlannedLane, PlannedWorker } from '@slipway/engine';
import { imageOf } from './image.ts';
import { byText } from './kubernetes-object.ts';

/** Bytes that the runner of a worker needs beside its attempt. */
const RUNNER_BYTES = 256 * 2 ** 20;
/** Seconds that the runner may take to end beyond what its tasks may. */
const STOP_MARGIN_SECONDS = 5;
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

export interface PlanOptions {
  /** Name of the environment, `pr-12` for that of a pull request. */
  environment: string;
  commit: string;
  /** Config of the environment. */
  config: Readonly<Record<string, string>>;
  hosts: readonly string[];
  /** Largest size that an attempt of a worker may have; null: no limit. */
  ceiling: { cpu: number | null; memory: number | null };
  /** What runs for an image of `slipway.yaml`: the same with its digest. Those that are missing stay as they are. */
  images: ReadonlyMap<string, string>;
}

/**
 * The plan of an environment that runs one commit of an app, made from its file alone: no control plane has numbered a release or decided
 * how many workers there should be.
 *
 * @throws {SlipwayError} `mistake` when something has no image.
 */
export function planApp(app: App, options: PlanOptions): Plan {
  const image = (section: 'services' | 'workers' | 'jobs', name: string): string => {
    const declared = imageOf(app, section, name);
    return options.images.get(declared) ?? declared;
  };
  return {
    environment: `${app.app}/${options.environment}`,
    generation: 1,
    hosts: [...options.hosts],
    sleepSeconds: null,
    tasks: 'none',
    releases: [
      {
        number: 1,
        commit: options.commit,
        weight: 100,
        artifact: '',
        variables: { ...options.config },
        services: Object.entries(app.services).map(([name, service]) => ({
          ...plannedService(name, service),
          image: image('services', name),
          maxReplicas: service.replicas.max,
        })),
        workers: Object.entries(app.workers).map(([name, worker]) =>
          plannedWorker(app, options, { name, worker, image: image('workers', name) }),
        ),
        jobs: Object.entries(app.jobs).flatMap(([name, job]): PlannedJob[] =>
          job.when === 'by-hand'
            ? []
            : [
                {
                  name,
                  run: job.run,
                  image: image('jobs', name),
                  when: job.when,
                  schedule: job.schedule,
                  size: job.size,
                  timeoutSeconds: job.timeout,
                },
              ],
        ),
      },
    ],
  };
}

function plannedWorker(
  app: App,
  options: PlanOptions,
  { name, worker, image }: { name: string; worker: Worker; image: string },
): PlannedWorker {
  const normal = atMost(worker.normal, options.ceiling);
  const fallback = atMost(worker.fallback ?? worker.normal, options.ceiling);
  const runner = (lane: 'normal' | 'fallback'): string =>
    JSON.stringify({
      kind: `${app.app}/${options.environment}/${name}`,
      retries: worker.retries,
      fallback: worker.fallback === null ? 'none' : 'bigger',
      command: worker.run,
      process: worker.process,
      limits: { normal: limitsOf(normal), fallback: limitsOf(fallback) },
      slots: { normal: lane === 'normal' ? 1 : 0, fallback: lane === 'fallback' ? 1 : 0 },
      pass: [...PASSED_ON, ...Object.keys(options.config), ...app.secrets].sort(byText),
      graceSeconds: worker.stop,
    });
  const { min, max } = worker.replicas;
  const lane = (name: 'normal' | 'fallback', { cpu, memory }: Lane): PlannedLane => ({
    lane: name,
    replicas: min === max ? min : null,
    maxReplicas: max,
    size: { cpu, memory: memory + RUNNER_BYTES },
    variables: { SLIPWAY_RUNNER: runner(name) },
  });
  return {
    name,
    run: START_RUNNER,
    image,
    replicas: 0,
    size: { cpu: normal.cpu, memory: normal.memory + RUNNER_BYTES },
    stopSeconds: worker.stop + STOP_MARGIN_SECONDS,
    variables: {},
    lanes: [lane('normal', normal), ...(worker.fallback === null ? [] : [lane('fallback', fallback)])],
  };
}

function atMost(lane: Lane, { cpu, memory }: PlanOptions['ceiling']): Lane {
  return { ...lane, cpu: Math.min(lane.cpu, cpu ?? Infinity), memory: Math.min(lane.memory, memory ?? Infinity) };
}

function limitsOf({ cpu, memory, timeout }: Lane) {
  return { cpu, memoryBytes: memory, timeoutSeconds: timeout };
}
