/** What all processes of one attempt together may use. */
export interface Limits {
  /** Cores. Enforced where cgroups are delegated; elsewhere the time used is reported, and not limited. */
  cpu: number;
  memoryBytes: number;
  timeoutSeconds: number;
}

const mebibyte = 1024 * 1024;
/** Share of the limit that V8 may use for its heap: the rest is for buffers and the program, and its own message comes before our kill. */
const heapShare = 0.75;
/**
 * What one process may have in private writable memory (RLIMIT_DATA) where only we limit a tree: the end of a process that outruns our looks,
 * e.g. while this computer is too busy for them. It counts what is reserved, not only what is in use: Node 26 begins with 560 MiB,
 * and each thread has 8 MiB of stack. So it is far above the limit, and no limit to keep to.
 */
const backstopFactor = 2;
const backstopExtra = 2048 * mebibyte;

/** For `ulimit -d`, in KiB. */
export function dataBackstop({ memoryBytes }: Limits): string {
  return `${Math.ceil((memoryBytes * backstopFactor + backstopExtra) / 1024)}`;
}

/** NODE_OPTIONS for the command: a heap that fits, unless the worker chose one itself. */
export function nodeOptions(given: string | undefined, { memoryBytes }: Limits): string {
  if (given?.includes('--max-old-space-size') === true || given?.includes('--max_old_space_size') === true)
    return given;
  const heap = `--max-old-space-size=${Math.max(8, Math.floor((memoryBytes * heapShare) / mebibyte))}`;
  return given === undefined || given === '' ? heap : `${given} ${heap}`;
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / mebibyte)} MiB`;
}
