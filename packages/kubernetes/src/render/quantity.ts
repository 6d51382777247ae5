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

const UNITS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** A quantity as the API gives it, in cores: `250m` is 0.25. Not a number where it is none. */
export function cpuOf(quantity: string | number): number {
  const [, number, unit = ''] = /^([0-9.]+(?:e[0-9]+)?)([A-Za-z]*)$/.exec(String(quantity)) ?? [];
  return Number(number) * (UNITS[unit] ?? Number.NaN);
}

/** A quantity as the API gives it, in bytes. */
export const memoryOf = cpuOf;
