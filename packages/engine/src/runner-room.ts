/** Bytes that the runner of a worker needs beside its attempts. */
export const RUNNER_BYTES = 256 * 2 ** 20;
/** Seconds that the runner may take to end beyond what its tasks may. */
export const RUNNER_STOP_SECONDS = 5;
