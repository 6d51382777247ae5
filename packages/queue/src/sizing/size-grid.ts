import type { MeasuredTask } from './measure-tasks.ts';
import { runSeconds, weigh } from './cost-model.ts';

const MEMORY_STEP = 64 * 1024 * 1024;
const CPU_STEPS = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/** Up to which timeout (seconds) to round to which step. */
const TIMEOUT_STEPS = [
  { upTo: 30, step: 1 },
  { upTo: 120, step: 5 },
  { upTo: 600, step: 30 },
  { upTo: Infinity, step: 300 },
];
/** Room of a timeout that is not there to send tasks to the fallback lane: it ends what hangs, and unused it costs nothing. */
const TIMEOUT_ROOM = 2;

export function roundMemory(bytes: number): number {
  return roundUp(bytes, MEMORY_STEP);
}

export function roundTimeout(seconds: number): number {
  const { step } = TIMEOUT_STEPS.find(({ upTo }) => seconds <= upTo) ?? { step: 1 };
  return roundUp(seconds, step);
}

/**
 * Core counts to try: up to what the tasks can use, and from what keeps their mean run time within `slowdownAllowed` of the
 * fastest.
 */
export function cpusToTry(tasks: readonly MeasuredTask[], slowdownAllowed: number, ceiling: number): number[] {
  const useful = tasks.reduce((most, { parallelism }) => Math.max(most, parallelism), 1);
  const most = Math.min(CPU_STEPS.find((step) => step >= useful - 0.05) ?? useful, ceiling);
  const reachable = CPU_STEPS.filter((step) => step <= most);
  const meanAt = (cpu: number) => weigh(tasks, (task) => runSeconds(task, cpu));
  const fastest = meanAt(most);
  const quick = reachable.filter((cpu) => meanAt(cpu) <= fastest * slowdownAllowed);
  return quick.length > 0 ? quick : [most];
}

/** All memory sizes that would fit some task exactly, rounded, ascending. */
export function memoriesOf(tasks: readonly MeasuredTask[], margin: number): number[] {
  return ascending(tasks.map(({ peakBytes }) => roundMemory(peakBytes * margin)));
}

/** All timeouts that would fit some task exactly at so many cores, rounded, ascending, and one that lets every task finish. */
export function timeoutsOf(tasks: readonly MeasuredTask[], cpu: number, margin: number): number[] {
  const exact = tasks.map((task) => roundTimeout(runSeconds(task, cpu) * margin));
  return ascending([...exact, openTimeout(tasks, cpu, margin)]);
}

/**
 * At most `most` of these ascending values and the largest, evenly spread in ratio rather than in count: a few large tasks
 * decide where a split lies.
 */
export function spread(values: readonly number[], most: number): number[] {
  if (values.length <= most) return [...values];
  const least = values[0] ?? 1;
  const largest = values.at(-1) ?? least;
  const ratio = (largest / least) ** (1 / most);
  let next = least;
  const chosen = values.filter((value) => {
    if (value < next) return false;
    while (next <= value) next *= ratio;
    return true;
  });
  return chosen.at(-1) === largest ? chosen : [...chosen, largest];
}

/** The values from the one of `coarse` below `best` to the one above it. */
export function around(best: number, coarse: readonly number[], values: readonly number[]): number[] {
  const below = coarse.findLast((value) => value < best) ?? -Infinity;
  const above = coarse.find((value) => value > best) ?? Infinity;
  return values.filter((value) => value > below && value < above);
}

/** A timeout with room for every task. */
export function openTimeout(tasks: readonly MeasuredTask[], cpu: number, margin: number): number {
  const longest = tasks.reduce((most, task) => Math.max(most, runSeconds(task, cpu)), 0);
  return roundTimeout(longest * Math.max(TIMEOUT_ROOM, margin));
}

/** The smallest value that at least `share` of the tasks don't exceed. */
export function quantile(tasks: readonly MeasuredTask[], share: number, value: (task: MeasuredTask) => number): number {
  const sorted = tasks
    .map((task) => ({ value: value(task), weight: task.weight }))
    .toSorted((a, b) => a.value - b.value);
  const wanted = share * weigh(tasks, () => 1) * (1 - 1e-12);
  let passed = 0;
  for (const entry of sorted) {
    passed += entry.weight;
    if (passed >= wanted) return entry.value;
  }
  return sorted.at(-1)?.value ?? 0;
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].toSorted((a, b) => a - b);
}

function roundUp(value: number, step: number): number {
  return Math.max(1, Math.ceil(value / step - 1e-9)) * step;
}
