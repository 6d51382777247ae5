/** Which workers take a task: the many of normal size, or the few big ones. */
export type Lane = 'normal' | 'fallback';

/** The lane in a row. */
export function laneOf(column: unknown): Lane {
  return column === 'fallback' ? 'fallback' : 'normal';
}
