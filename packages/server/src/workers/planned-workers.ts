import type { App, Lane as DeclaredLane, Worker } from '@slipway/app';
import { RUNNER_BYTES, RUNNER_STOP_SECONDS, type PlannedWorker } from '@slipway/engine';
import type { LaneRow } from '@slipway/queue/scaling';
import type { LaneSize } from '@slipway/queue/sizing';
import { atMost, type SizeCeiling } from './ceiling.ts';
import { tokenVariable, urlVariable } from './queue-access.ts';
import { queueName } from './queue-name.ts';

type LaneName = LaneRow['lane'];

/** What the agent tells every process about its release. */
const releaseVariables = ['SLIPWAY_APP', 'SLIPWAY_ENVIRONMENT', 'SLIPWAY_RELEASE', 'SLIPWAY_COMMIT'];

/** Lanes that a worker has, the small one first. */
export function lanesOf(worker: Worker): LaneName[] {
  return worker.fallback === null ? ['normal'] : ['normal', 'fallback'];
}

/** What, beside its declaration, says how large the lanes of a worker are. */
export interface SizeSources {
  /** What is in the lane table. */
  decided: readonly LaneRow[];
  queue: string;
  ceiling: SizeCeiling;
}

/** How large a lane is: as decided, else as declared, and never larger than the environment allows. */
export function sizeOf(worker: Worker, lane: LaneName, { decided, queue, ceiling }: SizeSources): LaneSize {
  const found = decided.find((one) => one.kind === queue && one.lane === lane)?.size;
  const wanted = found ?? declaredSize(lane === 'fallback' ? (worker.fallback ?? worker.normal) : worker.normal);
  return atMost(wanted, ceiling);
}

export function declaredSize({ cpu, memory, timeout }: DeclaredLane): LaneSize {
  return { cpu, memoryBytes: memory, timeoutSeconds: timeout };
}

/** Where processes of workers are planned, and what was decided for their lanes. */
interface WorkerPlace {
  app: string;
  name: string;
  ceiling: SizeCeiling;
  lanes: readonly LaneRow[];
}

/**
 * A lane whose processes are its slots: how large each is, and how many there are now. The scaler decided it.
 *
 * @param which.serves `no`: the release gets no requests yet, and no tasks either.
 */
export function laneOf(
  { lanes: decided, ceiling, ...environment }: WorkerPlace,
  { workers }: Pick<App, 'workers'>,
  which: { worker: string; lane: LaneName; serves: 'yes' | 'no' },
): DeclaredLane & { replicas: number } {
  const worker = workers[which.worker];
  if (worker === undefined) throw new Error(`there is no worker ${which.worker}`);
  const queue = queueName(environment, which.worker);
  const { cpu, memoryBytes, timeoutSeconds } = sizeOf(worker, which.lane, { decided, queue, ceiling });
  const slots = decided.find(({ kind, lane }) => kind === queue && lane === which.lane)?.slots ?? 0;
  return { cpu, memory: memoryBytes, timeout: timeoutSeconds, replicas: which.serves === 'yes' ? slots : 0 };
}

/**
 * The workers of a release as processes: one runner for each worker that has something to do, and none for the others. The runner holds as many
 * slots of both lanes as are wanted, keeps the limits of each attempt itself, and learns how many slots it has while it runs, so
 * that scaling restarts nothing.
 *
 * @param config names of variables that tasks get from the release.
 * @param serves `no`: the release gets no requests yet, and no tasks either.
 */
export function plannedWorkers(
  environment: WorkerPlace,
  workers: Readonly<Record<string, Worker>>,
  config: readonly string[],
  serves: 'yes' | 'no',
): PlannedWorker[] {
  const { ceiling, lanes: decided } = environment;
  return Object.entries(workers).map(([name, worker]): PlannedWorker => {
    const queue = queueName(environment, name);
    const sources = { decided, queue, ceiling };
    const normal = sizeOf(worker, 'normal', sources);
    const fallback = sizeOf(worker, 'fallback', sources);
    const most = Math.max(1, worker.replicas.max);
    const lanes = lanesOf(worker).map((lane) => (lane === 'normal' ? normal : fallback));
    const slots = decided.filter(({ kind }) => kind === queue).reduce((sum, lane) => sum + lane.slots, 0);
    return {
      name,
      run: 'export SLIPWAY_URL="$SLIPWAY_QUEUE_URL" SLIPWAY_TOKEN="$SLIPWAY_QUEUE_TOKEN"; eval exec "$SLIPWAY_START_RUNNER"',
      replicas: serves === 'yes' && slots > 0 ? 1 : 0,
      size: {
        cpu: lanes.reduce((sum, { cpu }) => sum + cpu * most, 0),
        memory: lanes.reduce((sum, { memoryBytes }) => sum + memoryBytes * most, RUNNER_BYTES),
      },
      stopSeconds: worker.stop + RUNNER_STOP_SECONDS,
      variables: {
        SLIPWAY_RUNNER: JSON.stringify({
          kind: queue,
          retries: worker.retries,
          fallback: worker.fallback === null ? 'none' : 'bigger',
          command: worker.run,
          process: worker.process,
          limits: { normal, fallback },
          slots: { normal: 0, fallback: 0 },
          follow: 'decided',
          pass: [...config, urlVariable, tokenVariable, ...releaseVariables],
          graceSeconds: worker.stop,
        }),
      },
    };
  });
}
