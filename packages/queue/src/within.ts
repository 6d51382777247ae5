/** Waits for `work`, but no longer than `seconds`. */
export async function within(seconds: number, work: Promise<unknown>): Promise<void> {
  const { promise: limit, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, seconds * 1_000);
  try {
    await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
