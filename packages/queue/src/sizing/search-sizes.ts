import type { LaneSizes, MeasuredTask } from './measure-tasks.ts';
import { type CostModel, expectedCost, fallbackCost, runNormal, runSeconds } from './cost-model.ts';
import {
  around,
  cpusToTry,
  memoriesOf,
  openTimeout,
  quantile,
  roundMemory,
  roundTimeout,
  spread,
  timeoutsOf,
} from './size-grid.ts';

export interface SearchRules {
  model: CostModel;
  margin: number;
  failureBudget: number;
  slowdownAllowed: number;
  ceiling: { cpu: number; memoryBytes: number };
  /** Null: from what the tasks can use. */
  cpus: number[] | null;
}

/** The sizes to try: every combination of a core count, a memory size and a timeout. */
interface Grid {
  cpus: number[];
  memories: number[];
  timeouts: (cpu: number) => number[];
  /** Memory of the fallback lane: the least that keeps the failure budget. */
  largest: number;
}

/** Points of the first pass along memory and along time; the second pass tries every measured size between their neighbours. */
const MEMORIES = 40;
const TIMEOUTS = 16;

/** Points of the grid times tasks up to which all of it is tried: less work than the two passes over a large sample are. */
const WHOLE = 3_000_000;

/**
 * The cheapest sizes on the grid of the measured distribution: of all of it where that is small, else by a coarse pass over all
 * of it and a fine one around the best. Where several cost the same, the larger ones.
 */
export function cheapestSplit(tasks: readonly MeasuredTask[], rules: SearchRules): LaneSizes {
  const all = gridOf(tasks, rules);
  const timeoutsTried = all.cpus.reduce((sum, cpu) => sum + all.timeouts(cpu).length, 0);
  if (timeoutsTried * all.memories.length * tasks.length <= WHOLE) return search(tasks, all, rules);
  const withTail = (values: number[], most: number, tail: number) =>
    [...new Set([...spread(values, most), tail])].toSorted((a, b) => a - b);
  const memories = withTail(all.memories, MEMORIES, memoryTail(tasks, all, rules));
  const timeouts = (cpu: number) => withTail(all.timeouts(cpu), TIMEOUTS, timeoutTail(tasks, cpu, rules));
  const coarse = search(tasks, { ...all, memories, timeouts }, rules);
  const { cpu, memoryBytes, timeoutSeconds } = coarse.normal;
  const fine = search(
    tasks,
    {
      ...all,
      cpus: all.cpus.filter((one) => one >= cpu),
      memories: spread(around(memoryBytes, memories, all.memories), MEMORIES),
      timeouts: (one) => spread(around(timeoutSeconds, timeouts(cpu), all.timeouts(one)), TIMEOUTS),
    },
    rules,
  );
  const cost = (sizes: LaneSizes) => expectedCost(tasks, sizes, rules.model, rules.margin).perTask;
  return cheapest([coarse, fine], cost);
}

/** Everything in one lane as large as the largest task, with the CPU that is cheapest for it. */
export function onePool(tasks: readonly MeasuredTask[], rules: SearchRules): LaneSizes {
  const grid = gridOf(tasks, rules);
  const pools = grid.cpus.map((cpu) => {
    const size = { cpu, memoryBytes: grid.largest, timeoutSeconds: openTimeout(tasks, cpu, rules.margin) };
    return { normal: size, fallback: size };
  });
  return cheapest(pools, (sizes) => expectedCost(tasks, sizes, rules.model, rules.margin).perTask);
}

/**
 * The fixed rule at its best: memory at the 95th percentile of the peaks, with or without a timeout at the 95th percentile
 * of the run times, whichever is cheaper, and with the CPU that is cheapest for it.
 */
export function percentileSplit(tasks: readonly MeasuredTask[], rules: SearchRules): LaneSizes {
  const grid = gridOf(tasks, rules);
  const timeouts = (cpu: number) => [timeoutTail(tasks, cpu, rules), openTimeout(tasks, cpu, rules.margin)];
  return search(tasks, { ...grid, memories: [memoryTail(tasks, grid, rules)], timeouts }, rules);
}

function memoryTail(tasks: readonly MeasuredTask[], { largest }: Grid, { margin }: SearchRules): number {
  const memory = quantile(tasks, 0.95, ({ peakBytes }) => roundMemory(peakBytes * margin));
  return Math.min(memory, largest);
}

function timeoutTail(tasks: readonly MeasuredTask[], cpu: number, { margin }: SearchRules): number {
  return quantile(tasks, 0.95, (task) => roundTimeout(runSeconds(task, cpu) * margin));
}

function gridOf(tasks: readonly MeasuredTask[], rules: SearchRules): Grid {
  const { margin, failureBudget, slowdownAllowed, ceiling } = rules;
  const needed = quantile(tasks, 1 - failureBudget, ({ peakBytes }) => roundMemory(peakBytes * margin));
  const largest = Math.min(needed, ceiling.memoryBytes);
  const smaller = memoriesOf(tasks, margin).filter((memory) => memory < largest);
  return {
    cpus: rules.cpus ?? cpusToTry(tasks, slowdownAllowed, ceiling.cpu),
    memories: [...smaller, largest],
    timeouts: (cpu) => timeoutsOf(tasks, cpu, margin),
    largest,
  };
}

function search(tasks: readonly MeasuredTask[], grid: Grid, { model, margin }: SearchRules): LaneSizes {
  const fallbacks = grid.cpus.map((cpu) => {
    return { cpu, memoryBytes: grid.largest, timeoutSeconds: openTimeout(tasks, cpu, margin) };
  });
  let best: LaneSizes | null = null;
  let least = Infinity;
  for (const cpu of grid.cpus) {
    for (const timeoutSeconds of grid.timeouts(cpu)) {
      for (const memoryBytes of grid.memories) {
        const normal = { cpu, memoryBytes, timeoutSeconds };
        const run = runNormal(tasks, normal, model, margin);
        for (const roomy of fallbacks) {
          if (roomy.cpu < cpu) continue;
          const fallback = { ...roomy, timeoutSeconds: Math.max(timeoutSeconds, roomy.timeoutSeconds) };
          const cost = run.cost + fallbackCost(run.outgrown, fallback, model);
          if (cost > least) continue;
          least = cost;
          best = { normal, fallback };
        }
      }
    }
  }
  if (best === null) throw new Error('there is no size to choose from: give at least one core count and one task');
  return best;
}

function cheapest<T>(all: readonly T[], cost: (one: T) => number): T {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('there is no size to choose from: give at least one core count');
  return others.reduce((best, one) => (cost(one) < cost(best) ? one : best), first);
}
