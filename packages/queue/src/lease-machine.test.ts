import { randomUUID } from 'node:crypto';
import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { type LeaseAction, type LeasedTask, moveTask } from './lease-machine.ts';
import { type Bug, canonical, firstWorld, isOver, stepsFrom, type World } from './lease-world-under-test.ts';
import { Queue } from './queue.ts';
import { buryTask } from './statements/bury.ts';
import { cancelTask } from './statements/cancel.ts';
import { claimFromLines } from './statements/claim-line.ts';
import { redriveTask } from './statements/dead.ts';
import { finishTasks } from './statements/finish.ts';
import { type Database, type Names, namesIn } from './statements/names.ts';
import { promoteDue } from './statements/promote.ts';
import { releaseTask } from './statements/release.ts';
import { rescueTasks } from './statements/rescue.ts';
import { unclaimStrays, unclaimTasks } from './statements/unclaim.ts';

interface Exploration {
  states: number;
  steps: number;
  /** What should never happen, and how it came to it; null: it never does. */
  broken: string | null;
  /** A state from which no end can be reached any more although nothing else goes wrong; null: there is none. */
  stuck: string | null;
  /** Every task state with every action that met it. */
  moves: Map<string, { before: LeasedTask; action: LeaseAction }>;
}

/** Visits every state of the world. */
function explore(faults: number, bug: Bug, tasks: 1 | 2 = 2): Exploration {
  const first = firstWorld(faults, tasks);
  const numbers = new Map([[canonical(first), 0]]);
  const worlds: (World | null)[] = [first];
  const over: number[] = [];
  const smooth: number[] = []; // pairs of numbers: from, to
  const moves: Exploration['moves'] = new Map();
  let steps = 0;
  for (let number = 0; number < worlds.length; number++) {
    const world = worlds[number];
    if (!world) continue;
    if (isOver(world)) over.push(number);
    for (const step of stepsFrom(world, bug)) {
      steps += 1;
      for (const { before, action } of step.moved) {
        const one = plainMove(before, action);
        moves.set(JSON.stringify(one), one);
      }
      if (step.broken !== null)
        return { states: numbers.size, steps, broken: `${step.broken}: ${step.name}`, stuck: null, moves };
      const name = canonical(step.world);
      let next = numbers.get(name);
      if (next === undefined) {
        next = worlds.push(step.world) - 1;
        numbers.set(name, next);
      }
      if (step.weather === 'smooth') smooth.push(number, next);
    }
    worlds[number] = null; // half a million of them is a lot of memory
  }
  const stuck = unreachable(numbers.size, over, smooth);
  return { states: numbers.size, steps, broken: null, stuck: [...numbers.keys()][stuck] ?? null, moves };
}

/** The first state that does not lead to any of the ends; -1: all do. */
function unreachable(states: number, ends: readonly number[], steps: readonly number[]): number {
  const first = new Int32Array(states + 1);
  for (let i = 1; i < steps.length; i += 2) first[(steps[i] ?? 0) + 1]! += 1;
  for (let i = 1; i <= states; i++) first[i]! += first[i - 1] ?? 0;
  const from = new Int32Array(steps.length / 2);
  const filled = first.slice();
  for (let i = 0; i < steps.length; i += 2) from[filled[steps[i + 1] ?? 0]!++] = steps[i] ?? 0;
  const reached = new Uint8Array(states);
  const queue = [...ends];
  for (const end of ends) reached[end] = 1;
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (let i = first[next] ?? 0; i < (first[next + 1] ?? 0); i++) {
      const before = from[i] ?? 0;
      if (reached[before] === 1) continue;
      reached[before] = 1;
      queue.push(before);
    }
  }
  return reached.indexOf(0);
}

/** Without names and absolute numbers: which lease it names matters only as this one or an older one. */
function plainMove(before: LeasedTask, action: LeaseAction): { before: LeasedTask; action: LeaseAction } {
  const task = { ...before, lease: 5, holder: before.holder === null ? null : 'holder' };
  const holder = (name: string) => (name === before.holder ? 'holder' : 'other');
  if ('lease' in action) return { before: task, action: { ...action, lease: action.lease === before.lease ? 5 : 4 } };
  if ('worker' in action) return { before: task, action: { ...action, worker: holder(action.worker) } };
  if (action.do === 'rescue') return { before: task, action: { ...action, gone: action.gone.map(holder).slice(0, 1) } };
  return { before: task, action };
}

test(
  'whatever two workers do with two tasks, and whatever goes wrong with them: none is lost, none is finished twice, none is stuck',
  { timeout: 300_000 },
  () => {
    const { states, steps, broken, stuck } = explore(2, 'none');
    console.log(`the lease machine has ${states} states and ${steps} steps with two faults`);
    expect(broken).toBeNull();
    expect(stuck).toBeNull();
    expect(states).toBeGreaterThan(400_000);
  },
);

test.for<[Bug, RegExp]>([
  ['ends count under any lease', /^an end counted that came under an old lease/],
  ['rescue keeps the lease', /^a task changed hands and its lease did not grow/],
  ['a repeated end is always believed', /^two attempts were told that they finished the task/],
  ['escalation goes back to normal', /^a task left the lane fallback/],
  ['rescue forgets a cancel', /^a cancel was forgotten/],
])('the explorer finds: %s', { timeout: 120_000 }, ([bug, what]) => {
  expect(explore(2, bug).broken).toMatch(what);
});

test.for<[Bug, number]>([
  ['rows are deleted while a claim is under way', 1],
  ['strays are left', 1],
  ['suspects are forgotten', 2],
])('the explorer finds tasks that are stuck when %s', { timeout: 300_000 }, ([bug, faults]) => {
  expect(explore(faults, bug, 1).stuck).not.toBeNull();
  expect(explore(faults, 'none', 1).stuck).toBeNull();
});

test('every statement does on PostgreSQL what the machine says', { timeout: 120_000 }, async () => {
  const { pool } = await testDatabase();
  await new Queue({ pool }).migrate();
  const names = namesIn('slipway_queue');
  const { moves } = explore(1, 'none');
  const cases = [...moves.values(), ...extraMoves()].map((move, n) => new Case(n, move));
  expect(cases.length).toBeGreaterThan(40);
  for (const one of cases) await one.prepare(pool, names);
  for (const one of cases) await one.act(pool, names);
  // These look for their tasks themselves.
  await promoteDue(pool, names);
  while ((await rescueTasks(pool, names, 'restore')).length > 0);
  for (const one of cases) expect(await one.found(pool, names), one.name).toEqual(one.expected());
});

/** What the world has no reason for: other causes, counters that are not zero, an unlimited number of losses. */
function extraMoves(): { before: LeasedTask; action: LeaseAction }[] {
  const before: LeasedTask = {
    place: 'running',
    lane: 'fallback',
    lease: 5,
    holder: 'holder',
    cancel: 'no',
    attempts: 9,
    failures: 1,
    ooms: 2,
    timeouts: 3,
    crashes: 4,
    losses: 5,
    interruptions: 6,
    lossesAllowed: 10,
  };
  const releases = ([null, 'error', 'oom', 'timeout', 'crash', 'interrupted'] as const).flatMap((counts) =>
    ([4, 5] as const).map((lease) => ({
      before,
      action: { do: 'release', lease, counts, lane: 'fallback', due: 'at once' } as const,
    })),
  );
  return [
    ...releases,
    { before, action: { do: 'bury', lease: 5 } },
    { before, action: { do: 'rescue', gone: ['holder'] } },
    { before: { ...before, crashes: 3 }, action: { do: 'rescue', gone: ['holder'] } },
    { before: { ...before, place: 'dead', holder: null }, action: { do: 'redrive' } },
  ];
}

/** One task in one state, what is done to it, and what came of it. */
class Case {
  readonly #id: number;
  readonly #before: LeasedTask;
  readonly #action: LeaseAction;
  readonly #holder = randomUUID();
  readonly #other = randomUUID();

  constructor(number: number, { before, action }: { before: LeasedTask; action: LeaseAction }) {
    this.#id = 1_000_000 + number;
    this.#before = before;
    this.#action = action;
  }

  get name(): string {
    return `${JSON.stringify(this.#action)} on ${JSON.stringify(this.#before)}`;
  }

  async prepare(db: Database, names: Names): Promise<void> {
    const { place, lane, lease, holder, cancel, lossesAllowed } = this.#before;
    const gone = this.#action.do === 'rescue' ? this.#action.gone : [];
    await db.query(
      `insert into ${names.worker} (id, gone_at) values ($1, case when $3 then clock_timestamp() end), ($2, case when $4 then clock_timestamp() end)`,
      [this.#holder, this.#other, gone.includes('holder'), gone.includes('other')],
    );
    if (place === 'done' || place === 'cancelled') return;
    const { attempts, failures, ooms, timeouts, crashes, losses, interruptions } = this.#before;
    const shared = [this.#id, `case-${this.#id}`, lane, lease, lossesAllowed];
    const counted = [attempts, failures, ooms, timeouts, crashes, losses, interruptions];
    const columns =
      'id, kind, lane, lease, losses_allowed, attempts, failures, ooms, timeouts, crashes, losses, interruptions';
    if (place === 'dead') {
      await db.query(
        `insert into ${names.dead} (${columns}, payload, priority, history, created_at, cause, error)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '1', 0, '[]', now(), 'lost', '')`,
        [...shared, ...counted],
      );
      return;
    }
    // What waits for its time is not due, unless it is to be promoted.
    const due = this.#action.do === 'promote' ? '-1 hour' : '1 hour';
    await db.query(
      `insert into ${names.task} (${columns}, payload, state, run_at, worker_id, cancelled)
       overriding system value
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '1', $13, now() + $14::interval, $15, $16)`,
      [...shared, ...counted, place, due, holder === null ? null : this.#holder, cancel === 'wanted'],
    );
  }

  async act(db: Database, names: Names): Promise<void> {
    const action = this.#action;
    const held = 'lease' in action ? { id: String(this.#id), lease: String(action.lease) } : { id: '', lease: '' };
    const entry = { attempt: 1, lane: 'normal', at: '', cause: 'error', message: '' } as const;
    switch (action.do) {
      case 'claim': {
        const line = { kind: `case-${this.#id}`, lane: this.#before.lane, limit: 1 };
        await claimFromLines(db, names, this.#worker(action.worker), [
          { ...line, priority: 0, position: 0, upToPriority: 0, oldestBundle: 0 },
        ]);
        return;
      }
      case 'finish':
        await finishTasks(
          db,
          names,
          [{ ...held, worker: this.#holder, result: null, output: null, effects: 'none' }],
          'first',
        );
        return;
      case 'release': {
        const { counts, lane, due } = action;
        const seconds = due === 'later' ? 3600 : 0;
        await releaseTask(db, names, held, { seconds, counts, lane, history: entry, name: 'restore' });
        return;
      }
      case 'bury':
        await buryTask(db, names, held, { cause: 'discarded', entry });
        return;
      case 'unclaim':
        return unclaimTasks(db, names, [held], 'restore');
      case 'unclaim stray':
        return unclaimStrays(db, names, { id: this.#worker(action.worker), known: [] });
      case 'cancel':
        await cancelTask(db, names, String(this.#id));
        return;
      case 'redrive':
        await redriveTask(db, names, String(this.#id));
        return;
      case 'promote':
      case 'rescue':
      case 'unblock':
        return;
    }
  }

  /** What is to be found, in the columns that the machine knows. */
  expected(): Record<string, unknown> {
    const after = moveTask(this.#before, this.#action) ?? this.#before;
    const { place, holder, ...rest } = after;
    if (place === 'done' || place === 'cancelled') return { place: 'none' };
    // Where nobody holds it, nobody is to be found.
    return { ...rest, place, holder: holder === null ? null : this.#worker(holder) };
  }

  async found(db: Database, names: Names): Promise<Record<string, unknown>> {
    const columns = `lane, lease::int, attempts, failures, ooms, timeouts, crashes, losses, interruptions, losses_allowed as "lossesAllowed"`;
    const { rows } = await db.query(
      `select state as place, worker_id as holder, case when cancelled then 'wanted' else 'no' end as cancel, ${columns} from ${names.task} where id = $1
       union all select 'dead', null, 'no', ${columns} from ${names.dead} where id = $1`,
      [this.#id],
    );
    expect(rows.length, 'a task is in one place').toBeLessThan(2);
    return rows[0] ?? { place: 'none' };
  }

  #worker(name: string): string {
    return name === 'holder' ? this.#holder : this.#other;
  }
}
