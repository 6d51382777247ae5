/** What one attempt may use. */
export interface LaneSize {
  /** Cores. */
  cpu: number;
  memoryBytes: number;
  timeoutSeconds: number;
}

export interface LaneSizes {
  normal: LaneSize;
  /** At least as large as `normal` in everything. */
  fallback: LaneSize;
}

/** What was measured on one attempt's whole process tree. */
export interface AttemptSample {
  taskId: string;
  type: string;
  lane: 'normal' | 'fallback';
  /** `done`: a full measurement. `oom`, `timeout`: the true need is at least the limit. The others say nothing about size. */
  end: 'done' | 'oom' | 'timeout' | 'error' | 'crash' | 'lost' | 'interrupted';
  peakBytes: number;
  cpuSeconds: number;
  wallSeconds: number;
  limits: LaneSize;
}

/** What a task needs, whatever lane it ran in. */
export interface MeasuredTask {
  type: string;
  peakBytes: number;
  cpuSeconds: number;
  /** Time that more CPU does not shorten: waiting for disk, network, other processes. */
  offCpuSeconds: number;
  /** Cores that tasks of this type were seen to use at once, at least 1: more CPU than this brings nothing. */
  parallelism: number;
  /** How many tasks of the sample this one stands for; more than 1 when it also stands for tasks never seen to finish. */
  weight: number;
}

export interface Measurement {
  tasks: MeasuredTask[];
  /** Tasks that were seen to finish. */
  finished: number;
  /** Tasks that ran out of memory or time and were not (yet) seen to finish. */
  unfinished: number;
  /** Attempts that say nothing about size. */
  ignored: number;
}

const MIB = 1024 * 1024;
const TIMEOUT_BUMP = 2;

/**
 * The least that is worth trying after an attempt ran out of memory at this limit: 20 % or 100 MB more, whichever is more.
 * Source: Kubernetes Vertical Pod Autoscaler (OOMBumpUpRatio 1.2, OOMMinBumpUp 100 MB).
 */
export function bumpedMemory(limitBytes: number): number {
  return Math.max(limitBytes * 1.2, limitBytes + 100 * MIB);
}

/** The time worth trying after an attempt ran out of it at this limit. Doubling is our choice; unused time costs nothing. */
export function bumpedTimeout(limitSeconds: number): number {
  return limitSeconds * TIMEOUT_BUMP;
}

/**
 * Turns attempts (oldest first) into what each task needs.
 *
 * An attempt that ran out of memory or time is a censored observation. If a later attempt of the same task finished, that
 * one counts. If none did, the task is known to be larger than its limit, and its weight goes in equal parts to the
 * finished tasks of its type that are (Efron's redistribution to the right, which gives the Kaplan-Meier estimate).
 * If there are none, it is taken to need its limit plus the usual bump.
 */
export function measureTasks(samples: readonly AttemptSample[]): Measurement {
  const telling = samples.filter(({ end }) => end === 'done' || end === 'oom' || end === 'timeout');
  const last = new Map<string, AttemptSample>();
  for (const sample of telling) {
    const before = last.get(sample.taskId);
    if (before?.end === 'done') continue;
    last.set(sample.taskId, sample);
  }
  const parallelism = parallelismByType(telling);
  const finished = [...last.values()].filter(({ end }) => end === 'done');
  const unfinished = [...last.values()].filter(({ end }) => end !== 'done');
  const tasks = finished.map((sample) => ({ sample, task: measured(sample, parallelism) }));
  const bumped: MeasuredTask[] = [];
  // Found before any weight is moved, so that the order of the samples does not matter.
  const heirs = unfinished.map((censored) => tasks.filter(({ sample }) => outgrows(sample, censored)));
  unfinished.forEach((censored, index) => {
    const inherit = heirs[index] ?? [];
    for (const { task } of inherit) task.weight += 1 / inherit.length;
    if (inherit.length === 0) bumped.push(measured(bump(censored), parallelism));
  });
  return {
    tasks: [...tasks.map(({ task }) => task), ...bumped],
    finished: finished.length,
    unfinished: unfinished.length,
    ignored: samples.length - telling.length,
  };
}

function outgrows(sample: AttemptSample, censored: AttemptSample): boolean {
  if (sample.type !== censored.type) return false;
  return censored.end === 'oom'
    ? sample.peakBytes > censored.limits.memoryBytes
    : sample.wallSeconds > censored.limits.timeoutSeconds;
}

function bump(censored: AttemptSample): AttemptSample {
  if (censored.end === 'oom') {
    const peakBytes = Math.max(censored.peakBytes, bumpedMemory(censored.limits.memoryBytes));
    return { ...censored, peakBytes };
  }
  const wallSeconds = Math.max(censored.wallSeconds, bumpedTimeout(censored.limits.timeoutSeconds));
  return {
    ...censored,
    wallSeconds,
    cpuSeconds: (censored.cpuSeconds * wallSeconds) / Math.max(censored.wallSeconds, 1e-3),
  };
}

function measured(sample: AttemptSample, parallelismOf: Map<string, number>): MeasuredTask {
  const parallelism = parallelismOf.get(sample.type) ?? 1;
  const onCpuSeconds = sample.cpuSeconds / Math.min(sample.limits.cpu, parallelism);
  return {
    type: sample.type,
    peakBytes: sample.peakBytes,
    cpuSeconds: sample.cpuSeconds,
    offCpuSeconds: Math.max(0, sample.wallSeconds - onCpuSeconds),
    parallelism,
    weight: 1,
  };
}

function parallelismByType(samples: readonly AttemptSample[]): Map<string, number> {
  const parallelism = new Map<string, number>();
  for (const { type, cpuSeconds, wallSeconds } of samples) {
    const cores = wallSeconds > 0 ? cpuSeconds / wallSeconds : 0;
    parallelism.set(type, Math.max(1, parallelism.get(type) ?? 1, cores));
  }
  return parallelism;
}
