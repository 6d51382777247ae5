import type { AttemptSample } from './measure-tasks.ts';

/**
 * Made-up workflows with the shapes of real ones. The traces that the sizing was tried on first (nf-core runs, as published with Sizey, CLUSTER
 * 2024) may not be passed on; what decides about sizes is in these few numbers: how peaks are spread, and where the time is.
 */
export interface Workflow {
  /** What it is like. */
  shape: 'light body, heavy tail' | 'bimodal' | 'nearly flat' | 'flat' | 'heavy tasks hold the time';
  types: TaskType[];
}

interface TaskType {
  type: string;
  /** Tasks of this type in a hundred. */
  percent: number;
  /** Median peak in GiB, and the widths of the bell in the logarithm. */
  gib: number;
  width: number;
  /** Largest peak: what a machine has, or what the tool takes at most. */
  most: number;
  seconds: number;
  secondsWidth: number;
}

const GIB = 1024 ** 3;

export const WORKFLOWS: Workflow[] = [
  {
    // Half of the peaks below 0.3 GiB, the largest a hundred times that; as mag, chipseq and eager.
    shape: 'light body, heavy tail',
    types: [
      { type: 'check', percent: 62, gib: 0.15, width: 0.4, most: 1, seconds: 12, secondsWidth: 0.5 },
      { type: 'trim', percent: 28, gib: 0.6, width: 0.5, most: 4, seconds: 60, secondsWidth: 0.6 },
      { type: 'align', percent: 8, gib: 6, width: 0.4, most: 16, seconds: 120, secondsWidth: 0.6 },
      { type: 'assemble', percent: 2, gib: 15, width: 0.3, most: 25, seconds: 240, secondsWidth: 0.5 },
    ],
  },
  {
    shape: 'bimodal',
    types: [
      { type: 'index', percent: 75, gib: 0.3, width: 0.15, most: 0.5, seconds: 20, secondsWidth: 0.3 },
      { type: 'merge', percent: 25, gib: 4, width: 0.1, most: 5, seconds: 25, secondsWidth: 0.3 },
    ],
  },
  {
    // Small tasks that are over at once beside large ones that are all alike; as iwd.
    shape: 'nearly flat',
    types: [
      { type: 'note', percent: 55, gib: 0.16, width: 0.2, most: 0.4, seconds: 2, secondsWidth: 0.3 },
      { type: 'call', percent: 45, gib: 1.8, width: 0.04, most: 1.95, seconds: 90, secondsWidth: 0.4 },
    ],
  },
  {
    shape: 'flat',
    types: [{ type: 'call', percent: 100, gib: 1.85, width: 0.02, most: 1.93, seconds: 60, secondsWidth: 0.3 }],
  },
  {
    // A quarter of the tasks needs nearly all of a large machine, and a twentieth holds half of the time; as methylseq.
    shape: 'heavy tasks hold the time',
    types: [
      { type: 'check', percent: 40, gib: 0.4, width: 0.4, most: 2, seconds: 30, secondsWidth: 0.5 },
      { type: 'sort', percent: 33, gib: 6, width: 0.2, most: 9, seconds: 150, secondsWidth: 0.4 },
      { type: 'align', percent: 20, gib: 36, width: 0.04, most: 40, seconds: 75, secondsWidth: 0.3 },
      { type: 'extract', percent: 7, gib: 41, width: 0.01, most: 42, seconds: 1200, secondsWidth: 0.3 },
    ],
  },
];

/** Attempts of a workflow that were all seen to finish, in the order in which they would come. */
export function attemptsOf({ types }: Workflow, count: number, random: () => number): AttemptSample[] {
  return Array.from({ length: count }, (_, index) => {
    const one = drawn(types, random);
    // The sum of three is close enough to a bell.
    const bell = (): number => (random() + random() + random() - 1.5) * 2;
    const peak = Math.min(one.gib * Math.exp(bell() * one.width), one.most);
    return {
      taskId: String(index),
      type: one.type,
      lane: 'normal',
      end: 'done',
      peakBytes: Math.round(peak * GIB),
      cpuSeconds: 0,
      wallSeconds: one.seconds * Math.exp(bell() * one.secondsWidth),
      limits: { cpu: 1, memoryBytes: 64 * GIB, timeoutSeconds: 36_000 },
    };
  });
}

function drawn(types: readonly TaskType[], random: () => number): TaskType {
  let at = random() * types.reduce((sum, { percent }) => sum + percent, 0);
  const found = types.find(({ percent }) => (at -= percent) < 0) ?? types.at(-1);
  if (found === undefined) throw new Error('a workflow has at least one type');
  return found;
}
