import { type Demand, demandOf, remember, type TypeMemory, type TypeSignals } from './demand.ts';

export interface ScalingPolicy {
  min: number;
  max: number;
  /** Tasks that one worker runs at a time (c). */
  slotsPerWorker: number;
  /** How fast a backlog should be gone (T_drain). Default 60. */
  drainSeconds?: number;
  /** How long a task may wait for a worker (W): what arrives within it is no backlog. Default 1. */
  waitSeconds?: number;
  /** Share of the slots that should be busy (ρ). Default 0.75. */
  utilisation?: number;
  /**
   * Room for chance beyond `utilisation`: so many times the square root of the busy slots (β, Halfin-Whitt). Matters for
   * small pools with a strict waiting time; 1 is usual. Default 0.
   */
  headroom?: number;
  /** How long a worker takes to start (H): tasks due within it are counted already. Default 2. */
  startSeconds?: number;
  /** Service time of a type of which nothing has finished yet. Default 1. */
  assumedSeconds?: number;
  /** How long fewer workers must do before some are stopped. Default 120. */
  downSeconds?: number;
  /** How long nothing may be there to do before the lane goes to `min`. Default 60. */
  idleSeconds?: number;
  /** How often to decide while there is work. Default 5. */
  intervalSeconds?: number;
  /** Database connections that the workers of this lane may take together, and how many one takes. */
  connections?: { available: number; perWorker: number };
}

export interface ScalingSignals {
  /** Now, in seconds of a clock that only goes forward. */
  at: number;
  types: Readonly<Record<string, TypeSignals>>;
  /** When the next scheduled task is due, on the same clock; null if none is scheduled. */
  nextDueAt: number | null;
}

/** What is remembered between two decisions. Plain data: it may be stored, and lost (the backlog then decides). */
export interface ScalingState {
  /** When the last decision was made; null before the first. */
  at: number | null;
  replicas: number;
  types: Readonly<Record<string, TypeMemory>>;
  /** Since when fewer workers would do, and the most that would have done since then. */
  low: { since: number; most: number } | null;
  emptySince: number | null;
}

export interface ScalingDecision {
  replicas: number;
  /** A sentence with the numbers, for an operator. */
  reason: string;
  /** When to decide again if nothing new comes, on the clock of the signals; null: only when something comes. */
  nextAt: number | null;
  state: ScalingState;
}

type Settings = Required<Omit<ScalingPolicy, 'connections'>> & Pick<ScalingPolicy, 'connections'>;

/** Fewer workers are worth a change only if they are so many times the present ones. */
const WORTH_STOPPING = 0.8;

export function initialState(replicas: number): ScalingState {
  return { at: null, replicas, types: {}, low: null, emptySince: null };
}

/**
 * How many workers a lane should have:
 *
 *     need = ceil((λ̂·S̄ + β·√(λ̂·S̄) + max(0, B - λ̂·W)·S̄ / T_drain) / (c·ρ))
 *
 * | when | then |
 * | --- | --- |
 * | nothing is there to do for `idleSeconds` | `min` |
 * | the need is larger than what there is | the need, in one step, at once |
 * | the need is at most 0.8 of what there is, for `downSeconds` | the most that was needed in that time |
 * | otherwise | stay |
 *
 * Never fewer than the running tasks fill, never outside `min`..`max`, never more than the database has connections for.
 */
export function desiredReplicas(signals: ScalingSignals, policy: ScalingPolicy, state: ScalingState): ScalingDecision {
  const settings = settingsOf(policy);
  const types = remember(state.types, signals.types, state.at === null ? null : signals.at - state.at);
  const demand = demandOf(types, signals.types, settings.assumedSeconds);
  const empty = demand.waiting === 0 && demand.running === 0;
  const emptySince = empty ? (state.emptySince ?? signals.at) : null;
  const need = bounded(neededFor(demand, settings), demand, settings);
  const decided = decide({ ...need, at: signals.at, emptySince, demand, settings, state });
  const { replicas, reason, low } = decided;
  return {
    replicas,
    reason,
    nextAt: nextDecision(signals, decided, emptySince, settings),
    state: { at: signals.at, replicas, types, low, emptySince },
  };
}

function settingsOf(policy: ScalingPolicy): Settings {
  const { min, max, slotsPerWorker, utilisation = 0.75, drainSeconds = 60 } = policy;
  if (min < 0 || max < min) throw new RangeError(`replicas must be 0 <= min <= max, not ${min}..${max}`);
  if (slotsPerWorker < 1) throw new RangeError(`a worker needs at least one slot, not ${slotsPerWorker}`);
  if (utilisation <= 0 || utilisation > 1)
    throw new RangeError(`utilisation must be above 0 and at most 1, not ${utilisation}`);
  if (drainSeconds <= 0) throw new RangeError(`drainSeconds must be above 0, not ${drainSeconds}`);
  return {
    drainSeconds,
    utilisation,
    waitSeconds: 1,
    headroom: 0,
    startSeconds: 2,
    assumedSeconds: 1,
    downSeconds: 120,
    idleSeconds: 60,
    intervalSeconds: 5,
    ...policy,
  };
}

function neededFor(demand: Demand, settings: Settings): number {
  const { drainSeconds, waitSeconds, headroom, slotsPerWorker, utilisation } = settings;
  const slots = demand.offered + headroom * Math.sqrt(demand.offered) + drainSlots(demand, drainSeconds, waitSeconds);
  const needed = Math.ceil(slots / (slotsPerWorker * utilisation) - 1e-9);
  // Also of tasks that take no time at all somebody has to do the first.
  return demand.waiting > 0 ? Math.max(1, needed) : needed;
}

function drainSlots({ rate, waiting, serviceSeconds }: Demand, drainSeconds: number, waitSeconds: number): number {
  return (Math.max(0, waiting - rate * waitSeconds) * serviceSeconds) / drainSeconds;
}

interface Bounded {
  need: number;
  /** What the policy and the database allow. */
  most: number;
  /** Why it isn't what the formula says; empty if it is. */
  bound: string;
}

function bounded(wanted: number, { running }: Demand, settings: Settings): Bounded {
  const { min, max, slotsPerWorker, connections } = settings;
  const byConnections = connections ? Math.floor(connections.available / connections.perWorker) : Infinity;
  const most = Math.min(max, byConnections);
  const busy = Math.ceil(running / slotsPerWorker);
  if (wanted > most) {
    const bound =
      byConnections < max && connections
        ? `${wanted} are wanted, but the database leaves ${connections.available} connections and a worker takes ${connections.perWorker}`
        : `${wanted} are wanted, ${max} is the most allowed`;
    return { need: most, most, bound };
  }
  if (busy > Math.max(wanted, min))
    return { need: Math.min(busy, most), most, bound: `${running} running tasks fill ${busy}` };
  if (wanted < min) return { need: Math.min(min, most), most, bound: `${min} is the least allowed` };
  return { need: wanted, most, bound: '' };
}

interface Situation extends Bounded {
  at: number;
  emptySince: number | null;
  demand: Demand;
  settings: Settings;
  state: ScalingState;
}

type Decided = Pick<ScalingDecision, 'replicas' | 'reason'> & Pick<ScalingState, 'low'>;

function decide({ need: wanted, most, bound, at, emptySince, demand, settings, state }: Situation): Decided {
  const { min, idleSeconds, downSeconds } = settings;
  const now = state.replicas;
  // The last one waits for `idleSeconds`.
  const need = Math.max(wanted, Math.min(now, most, 1));
  const why = bound === '' ? '' : ` (${bound})`;
  if (emptySince !== null && at - emptySince >= idleSeconds) {
    return {
      replicas: Math.min(min, most),
      low: null,
      reason: `${Math.min(min, most)}: nothing to do for ${round(at - emptySince)} s`,
    };
  }
  if (need > now) return { replicas: need, low: null, reason: `${need}: ${numbers(demand, settings)}${why}` };
  // A narrower policy holds at once; whoever is busy is not stopped for it.
  if (now > most) {
    const limit = why || ` (${most} is the most allowed)`;
    return { replicas: need, low: null, reason: `${need}: ${numbers(demand, settings)}${limit}` };
  }
  if (need > WORTH_STOPPING * now || need === now) {
    return { replicas: now, low: null, reason: `${now}: ${numbers(demand, settings)}${why}` };
  }
  const low = { since: state.low?.since ?? at, most: Math.max(state.low?.most ?? 0, need) };
  const lasted = at - low.since;
  if (lasted >= downSeconds) {
    return {
      replicas: low.most,
      low: null,
      reason: `${low.most}: no more were needed for ${round(lasted)} s; ${numbers(demand, settings)}${why}`,
    };
  }
  const reason = `${now}: ${low.most} would do, for ${round(lasted)} of ${downSeconds} s; ${numbers(demand, settings)}${why}`;
  return { replicas: now, low, reason };
}

/** While there is work, at the interval; then only when a waiting decision falls due or a task becomes due. */
function nextDecision(
  { at, nextDueAt }: ScalingSignals,
  { replicas, low }: Decided,
  emptySince: number | null,
  { min, intervalSeconds, idleSeconds, downSeconds, startSeconds }: Settings,
): number | null {
  const times: number[] = [];
  if (emptySince === null) times.push(at + intervalSeconds);
  if (emptySince !== null && replicas > min) times.push(emptySince + idleSeconds);
  if (low !== null) times.push(low.since + downSeconds);
  if (nextDueAt !== null) times.push(nextDueAt - startSeconds);
  return times.length === 0 ? null : Math.max(at, Math.min(...times));
}

function numbers(demand: Demand, { drainSeconds, waitSeconds, slotsPerWorker, utilisation }: Settings): string {
  const { rate, offered, waiting, serviceSeconds } = demand;
  const arriving =
    rate > 0 ? `${round(rate)} tasks/s keep ${round(offered)} slots busy` : 'no arrival rate is known yet';
  const drain = drainSlots(demand, drainSeconds, waitSeconds);
  const backlog =
    drain > 0
      ? `, ${waiting} waiting tasks of ${round(serviceSeconds)} s need ${round(drain)} more to be gone in ${drainSeconds} s`
      : waiting > 0
        ? `, ${waiting} waiting tasks are within the ${waitSeconds} s they may wait`
        : ', nothing waits';
  const each = `${slotsPerWorker} ${slotsPerWorker === 1 ? 'slot' : 'slots'} a worker, ${round(utilisation * 100)} % busy`;
  return `${arriving}${backlog}; ${each}`;
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
