/** A worker as scaling sees it. */
export interface ScaledWorker {
  id: string;
  /** Tasks that it runs now. */
  running: number;
  /** Since when it has run nothing; null while it runs something. */
  idleSince: number | null;
}

/**
 * Which workers to stop: only idle ones, those first that have been idle longest, at most `howMany`. A busy worker is never
 * chosen: fewer are stopped, and the next decision tries again. Stop claiming before stopping the process: a victim may
 * have taken a task since it was looked at.
 */
export function victims(workers: readonly ScaledWorker[], howMany: number): string[] {
  return workers
    .filter(({ running, idleSince }) => running === 0 && idleSince !== null)
    .toSorted((a, b) => (a.idleSince ?? 0) - (b.idleSince ?? 0) || (a.id < b.id ? -1 : 1))
    .slice(0, Math.max(0, howMany))
    .map(({ id }) => id);
}
