import { desiredReplicas, initialState, type ScalingPolicy } from './desired-replicas.ts';
import type { TypeSignals } from './demand.ts';
import { victims } from './victims.ts';

export interface Arrival {
  at: number;
  type: string;
  seconds: number;
}

export interface Run {
  /** When the last task ended. */
  drainedAt: number;
  waits: { at: number; seconds: number }[];
  /** Every change of the desired replicas. */
  changes: { at: number; replicas: number; reason: string }[];
  /** Of the decisions taken, how many while nothing was there to do. */
  decisions: number;
  quietDecisions: number;
  workerSeconds: number;
  replicasAtEnd: number;
  stoppedBusy: number;
}

interface Worker {
  id: string;
  startedAt: number;
  readyAt: number;
  running: number;
  idleSince: number | null;
}

type Event = { at: number } & (
  | { what: 'arrival'; arrival: Arrival }
  | { what: 'end'; worker: Worker; arrival: Arrival; began: number }
  | { what: 'ready'; worker: Worker }
  | { what: 'decide'; number: number }
);

const DEBOUNCE_SECONDS = 0.1;

export const NOTHING: Readonly<TypeSignals> = {
  arrived: 0,
  ready: 0,
  dueSoon: 0,
  running: 0,
  runningSeconds: 0,
  finished: 0,
  finishedSeconds: 0,
};

/**
 * A discrete-event simulation of one lane with its scaling: tasks come, wait, run on workers that take `startSeconds` to
 * start; a decision is taken when it says so, and on arrivals, a few at a time. It ends at `until`.
 */
export function simulate(
  arrivals: Arrival[],
  policy: ScalingPolicy,
  { startSeconds, until, random }: { startSeconds: number; until: number; random: () => number },
): Run {
  const events = new EventHeap();
  for (const arrival of arrivals) events.push({ at: arrival.at, what: 'arrival', arrival });
  const run: Run = {
    drainedAt: 0,
    waits: [],
    changes: [],
    decisions: 0,
    quietDecisions: 0,
    workerSeconds: 0,
    replicasAtEnd: 0,
    stoppedBusy: 0,
  };
  const ready: Arrival[] = [];
  let firstReady = 0;
  let workers: Worker[] = [];
  let serial = 0;
  let state = initialState(policy.min);
  let scheduled = { at: Infinity, number: 0 };
  const fresh = new Map<string, TypeSignals>();
  const running = new Map<Arrival, number>();

  const signalsOf = (type: string): TypeSignals => {
    const known = fresh.get(type) ?? { ...NOTHING };
    fresh.set(type, known);
    return known;
  };
  const decideAt = (at: number) => {
    if (at >= scheduled.at) return;
    scheduled = { at, number: scheduled.number + 1 };
    events.push({ at, what: 'decide', number: scheduled.number });
  };
  const dispatch = (at: number) => {
    while (firstReady < ready.length) {
      const free = workers.filter((worker) => worker.readyAt <= at && worker.running < policy.slotsPerWorker);
      const worker = free[Math.floor(random() * free.length)];
      const arrival = ready[firstReady];
      if (!worker || !arrival) return;
      firstReady += 1;
      worker.running += 1;
      worker.idleSince = null;
      run.waits.push({ at: arrival.at, seconds: at - arrival.at });
      running.set(arrival, at);
      events.push({ at: at + arrival.seconds, what: 'end', worker, arrival, began: at });
    }
  };
  const decide = (at: number) => {
    const levels = new Map([...fresh.keys()].map((type) => [type, { ready: 0, running: 0, runningSeconds: 0 }]));
    for (let index = firstReady; index < ready.length; index += 1) levels.get(ready[index]!.type)!.ready += 1;
    for (const [{ type }, began] of running) {
      levels.get(type)!.running += 1;
      levels.get(type)!.runningSeconds += at - began;
    }
    const types = Object.fromEntries([...fresh].map(([type, counts]) => [type, { ...counts, ...levels.get(type) }]));
    for (const counts of fresh.values()) Object.assign(counts, { arrived: 0, finished: 0, finishedSeconds: 0 });
    const before = state.replicas;
    const decision = desiredReplicas({ at, types, nextDueAt: null }, policy, state);
    state = decision.state;
    run.decisions += 1;
    if (running.size === 0 && firstReady === ready.length) run.quietDecisions += 1;
    if (decision.replicas !== before) run.changes.push({ at, replicas: decision.replicas, reason: decision.reason });
    for (let missing = decision.replicas - workers.length; missing > 0; missing -= 1) {
      serial += 1;
      const worker = { id: `w${serial}`, startedAt: at, readyAt: at + startSeconds, running: 0, idleSince: at };
      workers.push(worker);
      events.push({ at: worker.readyAt, what: 'ready', worker });
    }
    const stopped = new Set(victims(workers, workers.length - decision.replicas));
    for (const worker of workers.filter(({ id }) => stopped.has(id))) {
      run.workerSeconds += at - worker.startedAt;
      if (worker.running > 0) run.stoppedBusy += 1;
    }
    workers = workers.filter(({ id }) => !stopped.has(id));
    scheduled = { at: Infinity, number: scheduled.number };
    if (decision.nextAt !== null) decideAt(Math.max(decision.nextAt, at + DEBOUNCE_SECONDS));
  };

  let lastDecision = -Infinity;
  for (let event = events.pop(); event && event.at <= until; event = events.pop()) {
    const { at } = event;
    if (event.what === 'arrival') {
      signalsOf(event.arrival.type).arrived += 1;
      ready.push(event.arrival);
      decideAt(Math.max(at, lastDecision + DEBOUNCE_SECONDS));
    }
    if (event.what === 'end') {
      const { worker, arrival } = event;
      worker.running -= 1;
      if (worker.running === 0) worker.idleSince = at;
      running.delete(arrival);
      const signals = signalsOf(arrival.type);
      signals.finished += 1;
      signals.finishedSeconds += arrival.seconds;
      run.drainedAt = at;
    }
    if (event.what === 'decide') {
      if (event.number !== scheduled.number) continue;
      decide(at);
      lastDecision = at;
      continue;
    }
    dispatch(at);
  }
  for (const worker of workers) run.workerSeconds += until - worker.startedAt;
  run.replicasAtEnd = workers.length;
  return run;
}

class EventHeap {
  readonly #events: Event[] = [];

  push(event: Event): void {
    const events = this.#events;
    let index = events.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (events[parent]!.at <= event.at) break;
      events[index] = events[parent]!;
      index = parent;
    }
    events[index] = event;
  }

  pop(): Event | undefined {
    const events = this.#events;
    const [first] = events;
    const last = events.pop();
    if (!last || events.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && events[child + 1]!.at < events[child]!.at) child += 1;
      if (events[child]!.at >= last.at) break;
      events[index] = events[child]!;
      index = child;
    }
    events[index] = last;
    return first;
  }
}
