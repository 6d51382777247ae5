/** Which workers take a task: the many of normal size, or the few big ones. */
export type Lane = 'normal' | 'fallback';
