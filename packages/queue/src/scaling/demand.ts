import { addArrivals, addServices, NO_RATE, type RateAverage, type ServiceAverage } from './averages.ts';

/** What happened and what waits, of one task type in one lane. Counts are since the last call, levels are of now. */
export interface TypeSignals {
  /** Tasks that came, counted when they are due: a task enqueued for tomorrow comes tomorrow. */
  arrived: number;
  /** Tasks that a worker could take now. */
  ready: number;
  /** Tasks that become ready within the policy's `startSeconds`. */
  dueSoon: number;
  running: number;
  /** How long the running ones have run so far, together. */
  runningSeconds: number;
  finished: number;
  /** How long the finished ones took, together. */
  finishedSeconds: number;
}

/** What is remembered of one task type. Plain data: it may be stored. */
export interface TypeMemory {
  minute: RateAverage;
  fiveMinutes: RateAverage;
  service: ServiceAverage | null;
}

/** What a lane has to do, in tasks and in slots kept busy. */
export interface Demand {
  /** Expected arrivals per second (λ̂). */
  rate: number;
  /** Slots that the arrivals keep busy (λ̂·S̄). */
  offered: number;
  waiting: number;
  running: number;
  /** Slot-seconds that the waiting tasks take. */
  waitingSeconds: number;
  /** Mean service time of what waits, or of what comes (S̄). */
  serviceSeconds: number;
}

const MINUTE = 60;
const FIVE_MINUTES = 300;

/** Takes the signals of the last `seconds` into the memory; null: the first observation, which says nothing of rates. */
export function remember(
  memory: Readonly<Record<string, TypeMemory>>,
  types: Readonly<Record<string, TypeSignals>>,
  seconds: number | null,
): Record<string, TypeMemory> {
  const names = new Set([...Object.keys(memory), ...Object.keys(types)]);
  return Object.fromEntries(
    [...names].map((type) => {
      const known = memory[type] ?? { minute: NO_RATE, fiveMinutes: NO_RATE, service: null };
      const { arrived = 0, finished = 0, finishedSeconds = 0 } = types[type] ?? {};
      return [
        type,
        {
          minute: seconds === null ? NO_RATE : addArrivals(known.minute, arrived, seconds, MINUTE),
          fiveMinutes: seconds === null ? NO_RATE : addArrivals(known.fiveMinutes, arrived, seconds, FIVE_MINUTES),
          service: addServices(known.service, finished, finishedSeconds),
        },
      ];
    }),
  );
}

/**
 * The demand by task type, each with its own service time: a mean over all would be wrong as soon as the mix changes. The
 * rate is the larger of the last minute's and the last five minutes', so that it rises at once and falls slowly.
 */
export function demandOf(
  memory: Readonly<Record<string, TypeMemory>>,
  types: Readonly<Record<string, TypeSignals>>,
  assumedSeconds: number,
): Demand {
  const minute = { rate: 0, offered: 0 };
  const fiveMinutes = { rate: 0, offered: 0 };
  const demand = { waiting: 0, running: 0, waitingSeconds: 0 };
  for (const [type, known] of Object.entries(memory)) {
    const signals = types[type];
    const seconds = known.service?.seconds ?? unseenSeconds(signals, assumedSeconds);
    minute.rate += known.minute.perSecond;
    minute.offered += known.minute.perSecond * seconds;
    fiveMinutes.rate += known.fiveMinutes.perSecond;
    fiveMinutes.offered += known.fiveMinutes.perSecond * seconds;
    const waiting = (signals?.ready ?? 0) + (signals?.dueSoon ?? 0);
    demand.waiting += waiting;
    demand.waitingSeconds += waiting * seconds;
    demand.running += signals?.running ?? 0;
  }
  const rate = Math.max(minute.rate, fiveMinutes.rate);
  const offered = Math.max(minute.offered, fiveMinutes.offered);
  const ofArrivals = rate > 0 ? offered / rate : assumedSeconds;
  const serviceSeconds = demand.waiting > 0 ? demand.waitingSeconds / demand.waiting : ofArrivals;
  return { rate, offered, ...demand, serviceSeconds };
}

/** Before the first task of a type has finished: the assumption, or how long its tasks have been running if that is longer. */
function unseenSeconds(signals: TypeSignals | undefined, assumedSeconds: number): number {
  if (!signals || signals.running === 0) return assumedSeconds;
  return Math.max(assumedSeconds, signals.runningSeconds / signals.running);
}
