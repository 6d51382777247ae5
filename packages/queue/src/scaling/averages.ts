/**
 * An exponentially weighted arrival rate: what happened `memorySeconds` ago counts 1/e. It starts at zero, because nothing is
 * known: until it has settled, the backlog that a too small rate leaves is what asks for workers.
 */
export interface RateAverage {
  perSecond: number;
}

export const NO_RATE: RateAverage = { perSecond: 0 };

/** Takes in `count` arrivals within the last `seconds`, spread evenly over them; 0: all at this instant. */
export function addArrivals(
  { perSecond }: RateAverage,
  count: number,
  seconds: number,
  memorySeconds: number,
): RateAverage {
  if (seconds <= 0) return { perSecond: perSecond + count / memorySeconds };
  const kept = Math.exp(-seconds / memorySeconds);
  return { perSecond: perSecond * kept + (count / seconds) * (1 - kept) };
}

/** An exponentially weighted service time over tasks: each new one counts 1/50 of what was known. */
export interface ServiceAverage {
  seconds: number;
}

const PER_TASK = 1 / 50;

/** Takes in `count` finished tasks that took `seconds` together; the first ones are taken as they are. */
export function addServices(known: ServiceAverage | null, count: number, seconds: number): ServiceAverage | null {
  if (count <= 0) return known;
  const mean = seconds / count;
  if (known === null) return { seconds: mean };
  const kept = (1 - PER_TASK) ** count;
  return { seconds: known.seconds * kept + mean * (1 - kept) };
}
