import { randomFrom } from '@slipway/testing';
import { expect, test } from 'vitest';
import { addArrivals, addServices, NO_RATE } from './averages.ts';
import { type Arrival, NOTHING, simulate } from './closed-loop-under-test.ts';
import type { TypeSignals } from './demand.ts';
import { desiredReplicas, initialState, type ScalingPolicy, type ScalingState } from './desired-replicas.ts';
import { victims } from './victims.ts';

const POLICY: ScalingPolicy = { min: 0, max: 20, slotsPerWorker: 4 };

/** A lane that has known tasks of `seconds` at this rate for long. */
function settled(replicas: number, perSecond: number, seconds: number, at = 0): ScalingState {
  const rate = { perSecond };
  return {
    ...initialState(replicas),
    at,
    types: { render: { minute: rate, fiveMinutes: rate, service: { seconds } } },
  };
}

function decide(signals: Partial<TypeSignals>, policy: Partial<ScalingPolicy>, state: ScalingState, at = 0) {
  return desiredReplicas(
    { at, types: { render: { ...NOTHING, ...signals } }, nextDueAt: null },
    { ...POLICY, ...policy },
    state,
  );
}

test.each([
  {
    name: 'arrivals alone: 30/s of 1 s keep 30 slots, of 4 at 75 %',
    rate: 30,
    seconds: 1,
    signals: { running: 30 },
    replicas: 10,
  },
  { name: 'a backlog that has to go in 60 s', rate: 0, seconds: 1, signals: { ready: 1800 }, replicas: 10 },
  { name: 'both', rate: 15, seconds: 1, signals: { ready: 915, running: 15 }, replicas: 10 },
  {
    name: 'what waits within the waiting time is no backlog',
    rate: 30,
    seconds: 1,
    signals: { ready: 30, running: 30 },
    replicas: 10,
  },
  { name: 'what is due soon counts', rate: 0, seconds: 1, signals: { ready: 900, dueSoon: 900 }, replicas: 10 },
  {
    name: 'a faster drain needs more',
    rate: 0,
    seconds: 1,
    signals: { ready: 600 },
    policy: { drainSeconds: 20 },
    replicas: 10,
  },
  {
    name: 'room for chance: + √30 slots',
    rate: 30,
    seconds: 1,
    signals: { running: 30 },
    policy: { headroom: 1 },
    replicas: 12,
  },
  { name: 'one task is reason enough for one worker', rate: 0, seconds: 0.01, signals: { ready: 1 }, replicas: 1 },
  {
    name: 'the most allowed',
    rate: 1000,
    seconds: 1,
    signals: { running: 1 },
    replicas: 20,
    reason: /334 are wanted, 20 is the most allowed/,
  },
  { name: 'the least allowed', rate: 0, seconds: 1, signals: { ready: 1 }, policy: { min: 3 }, replicas: 3 },
  {
    name: 'never fewer than what runs fills',
    rate: 0,
    seconds: 1,
    signals: { running: 9 },
    replicas: 3,
    reason: /9 running tasks fill 3/,
  },
  {
    name: 'the database leaves no more',
    rate: 30,
    seconds: 1,
    signals: { running: 1 },
    policy: { connections: { available: 13, perWorker: 2 } },
    replicas: 6,
    reason: /10 are wanted, but the database leaves 13 connections and a worker takes 2/,
  },
])('$name -> $replicas', ({ rate, seconds, signals, policy, replicas, reason }) => {
  const decision = decide(signals, policy ?? {}, settled(0, rate, seconds));
  expect(decision.replicas).toBe(replicas);
  expect(decision.reason).toMatch(reason ?? /./);
});

test('the reason has the numbers', () => {
  const { reason } = decide({ ready: 3040, running: 12 }, {}, settled(4, 40, 0.25));
  expect(reason).toBe(
    '8: 40 tasks/s keep 10 slots busy, 3040 waiting tasks of 0.25 s need 12.5 more to be gone in 60 s; 4 slots a worker, 75 % busy',
  );
});

test('the first observation: no rate and no service time are known; the backlog and the assumption decide', () => {
  const first = decide({ arrived: 600, ready: 600 }, {}, initialState(0));
  expect(first.replicas).toBe(4);
  expect(first.reason).toContain('no arrival rate is known yet, 600 waiting tasks of 1 s need 10 more');
  // Tasks that have been running for longer than the assumption say so before the first one ends.
  const running = decide({ ready: 600, running: 4, runningSeconds: 20 }, {}, initialState(4));
  expect(running.reason).toContain('600 waiting tasks of 5 s');
});

test('tasks that were measured to take no time at all still need somebody', () => {
  expect(decide({ ready: 3 }, {}, settled(0, 0, 0)).replicas).toBe(1);
  expect(decide({}, {}, settled(0, 0, 0)).replicas).toBe(0);
});

test('each type has its own service time: the mix of the backlog decides, not the mean of the past', () => {
  const memory = { minute: NO_RATE, fiveMinutes: NO_RATE };
  const state = {
    ...initialState(0),
    at: 0,
    types: { quick: { ...memory, service: { seconds: 0.1 } }, slow: { ...memory, service: { seconds: 30 } } },
  };
  const of = (quick: number, slow: number) =>
    desiredReplicas(
      { at: 0, types: { quick: { ...NOTHING, ready: quick }, slow: { ...NOTHING, ready: slow } }, nextDueAt: null },
      POLICY,
      state,
    ).replicas;
  expect(of(100, 0)).toBe(1);
  expect(of(0, 100)).toBe(17);
});

test('up at once and in one step; down only after 120 s below 0.8, to the most that was needed meanwhile', () => {
  const policy = { intervalSeconds: 10 };
  expect(decide({ running: 30 }, policy, settled(1, 30, 1)).replicas).toBe(10);
  expect(decide({ running: 30 }, policy, settled(12, 30, 1)).replicas).toBe(12);

  // 20 workers where 10 do.
  let state = settled(20, 30, 1);
  const seen: number[] = [];
  for (let at = 0; at <= 120; at += 10) {
    const ready = at === 60 ? 390 : 0;
    const decision = decide({ arrived: at === 0 ? 0 : 300, running: 30, ready }, policy, state, at);
    state = decision.state;
    seen.push(decision.replicas);
    if (at === 50) expect(decision.reason).toMatch(/^20: 10 would do, for 50 of 120 s/);
    if (at === 50) expect(decision.nextAt).toBe(60);
  }
  expect(seen.slice(0, -1).every((replicas) => replicas === 20)).toBe(true);
  expect(seen.at(-1)).toBe(12);
});

test('one worker of ten too many is not worth a change, however long', () => {
  let state = settled(10, 27, 1);
  for (let at = 0; at <= 1000; at += 10) {
    const decision = decide({ arrived: at === 0 ? 0 : 270, running: 27 }, {}, state, at);
    expect(decision).toMatchObject({ replicas: 10, state: { low: null } });
    state = decision.state;
  }
});

test('a short need in between starts the time anew', () => {
  const low = decide({ running: 30 }, {}, settled(20, 30, 1));
  expect(low.state.low).toEqual({ since: 0, most: 10 });
  const high = decide({ running: 60, ready: 1830, arrived: 1800 }, {}, low.state, 60);
  expect(high.state.low).toBeNull();
  expect(high.replicas).toBe(20);
});

test('empty: at zero after the idle time and no sooner, then no decision until something comes', () => {
  const emptied = decide({}, {}, settled(3, 1, 0.1, 0), 5);
  expect(emptied).toMatchObject({ replicas: 3, nextAt: 65 });
  const still = decide({}, {}, emptied.state, 64);
  expect(still.replicas).toBe(3);
  const idle = decide({}, {}, still.state, 65);
  expect(idle).toMatchObject({ replicas: 0, nextAt: null, reason: '0: nothing to do for 60 s' });
  // What came in the past starts nobody.
  expect(decide({}, {}, idle.state, 66)).toMatchObject({ replicas: 0, nextAt: null });
  expect(decide({ arrived: 1, ready: 1 }, {}, idle.state, 4000).replicas).toBe(1);
  expect(decide({}, { min: 2 }, settled(5, 1, 1), 0).nextAt).toBe(60);
});

test('the last worker waits for the idle time, even where others go sooner', () => {
  let state = settled(5, 0, 1);
  const seen: number[] = [];
  for (const at of [0, 10, 30, 59, 60]) {
    const decision = decide({}, { downSeconds: 10 }, state, at);
    seen.push(decision.replicas);
    state = decision.state;
  }
  expect(seen).toEqual([5, 1, 1, 1, 0]);
});

test('workers are started before the scheduled task is due', () => {
  const policy = { ...POLICY, startSeconds: 10 };
  const quiet = desiredReplicas({ at: 100, types: {}, nextDueAt: 500 }, policy, initialState(0));
  expect(quiet).toMatchObject({ replicas: 0, nextAt: 490 });
  const soon = { at: 490, types: { render: { ...NOTHING, dueSoon: 1 } }, nextDueAt: 500 };
  expect(desiredReplicas(soon, policy, quiet.state).replicas).toBe(1);
});

test('a policy that became narrower holds at once', () => {
  expect(decide({ running: 30 }, { max: 5 }, settled(12, 30, 1)).replicas).toBe(5);
});

test('senseless policies are refused', () => {
  expect(() => decide({}, { min: 3, max: 2 }, initialState(0))).toThrow('0 <= min <= max');
  expect(() => decide({}, { utilisation: 0 }, initialState(0))).toThrow('utilisation');
  expect(() => decide({}, { slotsPerWorker: 0 }, initialState(0))).toThrow('slot');
  expect(() => decide({}, { drainSeconds: 0 }, initialState(0))).toThrow('drainSeconds');
});

test('the state survives being stored', () => {
  const decision = decide({ arrived: 100, ready: 40, finished: 60, finishedSeconds: 30 }, {}, settled(2, 10, 1), 10);
  const stored = JSON.parse(JSON.stringify(decision.state)) as ScalingState;
  expect(decide({ ready: 500 }, {}, stored, 20)).toEqual(decide({ ready: 500 }, {}, decision.state, 20));
});

test('the averages: same rate however often they are fed; old news fades', () => {
  const often = Array.from({ length: 600 }).reduce<typeof NO_RATE>((rate) => addArrivals(rate, 1, 0.1, 60), NO_RATE);
  expect(often.perSecond).toBeCloseTo(addArrivals(NO_RATE, 600, 60, 60).perSecond, 9);
  expect(addArrivals({ perSecond: 10 }, 0, 60, 60).perSecond).toBeCloseTo(10 / Math.E, 9);
  expect(addArrivals(NO_RATE, 60, 0, 60).perSecond).toBe(1);
  expect(addServices(null, 4, 2)).toEqual({ seconds: 0.5 });
  expect(addServices({ seconds: 1 }, 0, 0)).toEqual({ seconds: 1 });
  expect(addServices({ seconds: 1 }, 1000, 3000)?.seconds).toBeCloseTo(3, 6);
});

test('victims: idle ones only, those first that have been idle longest', () => {
  const workers = [
    { id: 'a', running: 0, idleSince: 30 },
    { id: 'b', running: 2, idleSince: null },
    { id: 'c', running: 0, idleSince: 10 },
    { id: 'd', running: 0, idleSince: 30 },
  ];
  expect(victims(workers, 2)).toEqual(['c', 'a']);
  expect(victims(workers, 9)).toEqual(['c', 'a', 'd']);
  expect(victims(workers, -1)).toEqual([]);
});

/** Poisson arrivals of a rate that may change with time; types with their share and mean service time (exponential). */
function arrivalsOf(
  random: () => number,
  until: number,
  most: number,
  rateAt: (at: number) => number,
  types: { type: string; share: number; mean: number }[],
): Arrival[] {
  const arrivals: Arrival[] = [];
  const exponential = (mean: number) => -Math.log(1 - random()) * mean;
  for (let at = exponential(1 / most); at < until; at += exponential(1 / most)) {
    if (random() * most > rateAt(at)) continue;
    let draw = random();
    const type = types.find(({ share }) => (draw -= share) < 0) ?? types[0]!;
    arrivals.push({ at, type: type.type, seconds: exponential(type.mean) });
  }
  return arrivals;
}

const MIX = [
  { type: 'thumbnail', share: 0.8, mean: 0.2 },
  { type: 'film', share: 0.2, mean: 2 },
];

test.each(
  [2, 10, 40].flatMap((max) =>
    [0.4, 0.6].flatMap((startSeconds) => ['unknown', 'known'].map((service) => ({ max, startSeconds, service }))),
  ),
)(
  'burst of 10,000 x 50 ms from zero to $max workers that start in $startSeconds s, service time $service: within 1.3 x ideal',
  ({ max, startSeconds, service }) => {
    const burst = Array.from({ length: 10_000 }, () => ({ at: 1000, type: 'render', seconds: 0.05 }));
    const before = service === 'known' ? [{ at: 0, type: 'render', seconds: 0.05 }] : [];
    const ideal = (10_000 * 0.05) / (4 * max);
    const policy = { ...POLICY, max, drainSeconds: ideal };
    const run = simulate([...before, ...burst], policy, { startSeconds, until: 2000, random: randomFrom(3) });
    expect(run.waits.length).toBe(10_000 + before.length);
    expect((run.drainedAt - 1000) / ideal).toBeLessThan(1.3);
    expect(run.replicasAtEnd).toBe(0);
  },
);

test.each([{ seed: 1 }, { seed: 2 }, { seed: 3 }])(
  'constant load (seed $seed): waiting time held, no flapping',
  ({ seed }) => {
    const random = randomFrom(seed);
    // 20/s x 0.56 s = 11.2 slots; 4 workers of 4 are 70 % busy.
    const arrivals = arrivalsOf(random, 3600, 20, () => 20, MIX);
    const run = simulate(arrivals, { ...POLICY, utilisation: 0.8 }, { startSeconds: 2, until: 3600, random });
    const steady = run.waits.filter(({ at }) => at > 600).map(({ seconds }) => seconds);
    const p99 = steady.toSorted((a, b) => a - b)[Math.floor(steady.length * 0.99)]!;
    const changes = run.changes.filter(({ at }) => at > 600);
    expect(p99).toBeLessThan(1);
    expect(changes.length).toBeLessThanOrEqual(10);
    expect(run.stoppedBusy).toBe(0);
  },
);

test('bursts of five times the load: gone within the drain target, workers given back, zero at the end', () => {
  const random = randomFrom(5);
  const inBurst = (at: number) => at % 1200 >= 600 && at % 1200 < 660;
  const arrivals = arrivalsOf(random, 6000, 50, (at) => (inBurst(at) ? 50 : 10), MIX);
  const run = simulate(arrivals, { ...POLICY, max: 40 }, { startSeconds: 5, until: 7200, random });
  const worst = Math.max(...run.waits.map(({ seconds }) => seconds));
  const work = arrivals.reduce((sum, { seconds }) => sum + seconds, 0);
  const busy = work / (run.workerSeconds * POLICY.slotsPerWorker);
  expect(run.waits.length).toBe(arrivals.length);
  expect(worst).toBeLessThan(30);
  expect(run.changes.length).toBeLessThanOrEqual(60);
  expect(busy).toBeGreaterThan(0.35);
  expect(run.replicasAtEnd).toBe(0);
  expect(run.stoppedBusy).toBe(0);
});

test('a quiet lane decides nothing: a task an hour costs a handful of decisions', () => {
  const arrivals = Array.from({ length: 24 }, (_, hour) => ({ at: hour * 3600, type: 'report', seconds: 10 }));
  const run = simulate(arrivals, POLICY, { startSeconds: 2, until: 24 * 3600, random: randomFrom(9) });
  expect(run.waits.length).toBe(24);
  expect(run.decisions).toBeLessThanOrEqual(24 * 8);
  expect(run.quietDecisions).toBeLessThanOrEqual(24 * 2);
  expect(run.replicasAtEnd).toBe(0);
});
