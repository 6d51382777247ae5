import type { LaneSize, LaneSizes, MeasuredTask } from './measure-tasks.ts';

export interface CostModel {
  /**
   * Money per core-second and per GiB-second. Default: Google Cloud e2 on demand, us-central1: $0.0218 per core-hour and
   * $0.0029 per GiB-hour, as listed in kubernetes/autoscaler (gce_price_info.go). Only their ratio decides the sizes.
   */
  prices: { cpuSecond: number; gibSecond: number };
  /** Share of the paid time in which a worker of the lane has a task. Default 0.75 each, the scaling rule's target. */
  utilisation: { normal: number; fallback: number };
  /**
   * `share` of the fallback attempts find no worker and start one: `seconds` to start, `idleSeconds` until it goes again.
   * Default 5 %, 2 s, 30 s.
   */
  coldStart: { share: number; seconds: number; idleSeconds: number };
  /** Share of its run time after which a task too large for a lane runs out of memory. Default 1, the worst case: at its very end. */
  oomAt: number;
}

export const DEFAULT_COST_MODEL: CostModel = {
  prices: { cpuSecond: 0.021811 / 3600, gibSecond: 0.002923 / 3600 },
  utilisation: { normal: 0.75, fallback: 0.75 },
  coldStart: { share: 0.05, seconds: 2, idleSeconds: 30 },
  oomAt: 1,
};

export interface ExpectedCost {
  /** Money per task of the sample. */
  perTask: number;
  /** Share of the tasks that leave the normal lane. */
  fallbackShare: number;
  /** Their share of all run time (θ). */
  fallbackTimeShare: number;
  /** Share of the tasks that do not finish in the fallback lane either. */
  failShare: number;
}

/** What leaves the normal lane, and what the normal lane was paid for. */
export interface NormalRun {
  cost: number;
  outgrown: MeasuredTask[];
}

const GIB = 1024 ** 3;

/** Money per second of a worker of this size. */
export function price(size: Pick<LaneSize, 'cpu' | 'memoryBytes'>, { prices }: CostModel): number {
  return prices.cpuSecond * size.cpu + (prices.gibSecond * size.memoryBytes) / GIB;
}

/** Seconds that a task takes with so many cores: only its CPU-bound part gets faster, up to the parallelism of its type. */
export function runSeconds(task: MeasuredTask, cpu: number): number {
  return task.offCpuSeconds + task.cpuSeconds / Math.min(cpu, task.parallelism);
}

/**
 * The expected cost of tasks under these sizes:
 *
 *     C = p_a/u_a · E[min(τ_a, T_a, t_oom)] + p_b/u_b · E[1{m > a or τ_a > T_a} · (min(τ_b, T_b) + κ·(s_b + idle_b))]
 *
 * `margin` 1 asks what these tasks cost; above 1, what they cost when each may need so much more memory and time.
 */
export function expectedCost(
  tasks: readonly MeasuredTask[],
  sizes: LaneSizes,
  model: CostModel,
  margin = 1,
): ExpectedCost {
  const normal = runNormal(tasks, sizes.normal, model, margin);
  const count = weigh(tasks, () => 1);
  const seconds = weigh(tasks, (task) => runSeconds(task, sizes.normal.cpu));
  const failed = normal.outgrown.filter((task) => !fits(task, sizes.fallback, margin));
  const per = (sum: number, of: number) => (of > 0 ? sum / of : 0);
  return {
    perTask: per(normal.cost + fallbackCost(normal.outgrown, sizes.fallback, model), count),
    fallbackShare: per(
      weigh(normal.outgrown, () => 1),
      count,
    ),
    fallbackTimeShare: per(
      weigh(normal.outgrown, (task) => runSeconds(task, sizes.normal.cpu)),
      seconds,
    ),
    failShare: per(
      weigh(failed, () => 1),
      count,
    ),
  };
}

export function runNormal(tasks: readonly MeasuredTask[], size: LaneSize, model: CostModel, margin: number): NormalRun {
  const outgrown: MeasuredTask[] = [];
  let seconds = 0;
  for (const task of tasks) {
    const run = runSeconds(task, size.cpu);
    if (fits(task, size, margin)) {
      seconds += task.weight * run;
      continue;
    }
    outgrown.push(task);
    const untilOom = task.peakBytes * margin > size.memoryBytes ? run * model.oomAt : run;
    seconds += task.weight * Math.min(untilOom, size.timeoutSeconds);
  }
  return { cost: (seconds * price(size, model)) / model.utilisation.normal, outgrown };
}

export function fallbackCost(outgrown: readonly MeasuredTask[], size: LaneSize, model: CostModel): number {
  const { share, seconds, idleSeconds } = model.coldStart;
  const paid = weigh(
    outgrown,
    (task) => Math.min(runSeconds(task, size.cpu), size.timeoutSeconds) + share * (seconds + idleSeconds),
  );
  return (paid * price(size, model)) / model.utilisation.fallback;
}

/** The sum of a figure over tasks, each counted as often as it stands for. */
export function weigh(tasks: readonly MeasuredTask[], figure: (task: MeasuredTask) => number): number {
  let sum = 0;
  for (const task of tasks) sum += task.weight * figure(task);
  return sum;
}

function fits(task: MeasuredTask, size: LaneSize, margin: number): boolean {
  return task.peakBytes * margin <= size.memoryBytes && runSeconds(task, size.cpu) * margin <= size.timeoutSeconds;
}
