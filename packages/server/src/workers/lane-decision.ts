import type { Worker } from '@slipway/app';
import {
  desiredReplicas,
  initialState,
  type LaneLoad,
  type QueueLoad,
  type ScalingPolicy,
  type ScalingState,
} from '@slipway/queue/scaling';

export type LaneName = LaneLoad['lane'];

/** A row of worker_lane: what is remembered between two decisions. */
export interface LaneMemory {
  lane: LaneName;
  memory: { state: ScalingState; seen: Seen };
  slots: number;
  work: 'some' | 'none';
  reason: string;
}

/** Counts since the beginning, as they were at the last decision. */
interface Seen {
  arrived: number;
  ended: number;
  busySeconds: number;
  done: number;
  /** Average over a minute of how many were done. */
  donePerSecond: number;
}

export interface LaneDecision extends LaneMemory {
  /** When to decide again if nothing comes, in seconds since 1970; null: only when something comes. */
  nextAt: number | null;
}

export interface LaneSituation {
  lane: LaneName;
  /** null: nothing that serves has this worker. */
  declared: Worker | null;
  /** Whether the environment sleeps when it is not used. */
  sleeps: 'never' | 'may';
  load: QueueLoad;
  memory: LaneMemory | null;
}

const minute = 60;
/** How long a lane with nothing to do keeps its slots, in seconds. */
const idleSeconds = 60;

/** Decides the slots of one lane. Pure. */
export function decideLane(situation: LaneSituation): LaneDecision {
  const { lane, declared, load, memory } = situation;
  const seen = seenIn(load, lane, memory?.memory ?? null);
  if (declared === null || (lane === 'fallback' && declared.fallback === null)) {
    const missing = declared === null ? 'the release that serves has no such worker' : 'it has no fallback lane';
    const state = initialState(0);
    return { lane, memory: { state, seen }, slots: 0, work: 'none', reason: `0: ${missing}`, nextAt: null };
  }
  // A lane in which nothing has ever come has been idle for long.
  const before = memory?.memory ?? { state: { ...initialState(0), emptySince: load.at - idleSeconds }, seen };
  // The clock of the database may have been set back.
  const at = Math.max(load.at, before.state.at ?? 0);
  const { ready, dueSoon, running, nextDueAt } = load.lanes[lane];
  const decision = desiredReplicas(
    {
      at,
      types: {
        tasks: {
          arrived: Math.max(0, seen.arrived - before.seen.arrived),
          ready: waiting(load, lane, ready),
          dueSoon,
          running,
          // Nobody knows here how long they have run; until the first has ended, the assumption holds.
          runningSeconds: 0,
          finished: Math.max(0, seen.ended - before.seen.ended),
          finishedSeconds: Math.max(0, seen.busySeconds - before.seen.busySeconds),
        },
      },
      nextDueAt,
    },
    policyOf(declared, lane),
    before.state,
  );
  const { emptySince } = decision.state;
  const idle = emptySince !== null && at - emptySince >= idleSeconds;
  const sleepAt = situation.sleeps === 'may' && emptySince !== null && !idle ? emptySince + idleSeconds : null;
  return {
    lane,
    memory: { state: decision.state, seen },
    slots: decision.replicas,
    work: idle ? 'none' : 'some',
    reason: decision.reason,
    nextAt: earliest(decision.nextAt, sleepAt),
  };
}

/** One runner holds as many slots as are wanted, so a worker of the formula is one slot here. The fallback lane always begins at nothing. */
export function policyOf(declared: Worker, lane: LaneName): ScalingPolicy {
  return {
    min: lane === 'normal' ? declared.replicas.min : 0,
    max: declared.replicas.max,
    slotsPerWorker: 1,
    drainSeconds: declared.drain,
    idleSeconds,
  };
}

function seenIn({ at, lanes }: QueueLoad, lane: LaneName, before: LaneMemory['memory'] | null): Seen {
  const { enqueued, started, done, busy_seconds: busySeconds } = lanes[lane].tally;
  const escalated = lane === 'fallback' ? lanes.normal.tally.escalated : 0;
  const seconds = before?.state.at == null ? 0 : Math.max(0, at - before.state.at);
  const kept = Math.exp(-seconds / minute);
  const rate = seconds > 0 ? Math.max(0, done - (before?.seen.done ?? done)) / seconds : 0;
  const donePerSecond = (before?.seen.donePerSecond ?? 0) * kept + rate * (1 - kept);
  return { arrived: enqueued + escalated, ended: started, busySeconds, done, donePerSecond };
}

/** Where there are too many to count, what came and has not gone. */
function waiting({ lanes }: QueueLoad, lane: LaneName, ready: number): number {
  const { counted, running, tally } = lanes[lane];
  if (counted === 'all') return ready;
  const gone = tally.done + tally.dead + tally.cancelled + tally.escalated;
  const came = tally.enqueued + (lane === 'fallback' ? lanes.normal.tally.escalated : 0);
  return Math.max(ready, came - gone - running);
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
