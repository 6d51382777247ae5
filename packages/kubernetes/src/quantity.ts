/** Cores to a quantity: `250m`, `2`. Rounded up, because nothing is not a size. */
export function cpuQuantity(cores: number): string {
  const milli = Math.ceil(Number((cores * 1000).toFixed(3)));
  return milli % 1000 === 0 ? `${milli / 1000}` : `${milli}m`;
}

/** Bytes to a quantity: `256Mi`, `2Gi`, or plain bytes. */
export function memoryQuantity(bytes: number): string {
  for (const [unit, size] of [
    ['Gi', 2 ** 30],
    ['Mi', 2 ** 20],
    ['Ki', 2 ** 10],
  ] as const) {
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}`;
}
