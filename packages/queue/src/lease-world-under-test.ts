import { type LeaseAction, type LeasedTask, moveTask } from './lease-machine.ts';

/**
 * Two workers, two tasks and a PostgreSQL between them, as a world that steps from state to state, for the test that visits all of them.
 *
 * A worker asks for tasks and reports ends; each word is a statement on a wire. PostgreSQL carries it out at any later time,
 * or never; the answer arrives at any later time, or gets lost with the connection, and then the worker says it again. What nobody waits for any
 * more may still be carried out. A worker may be silent, be given up, come back, or be killed and started anew, at any point.
 */
export interface World {
  tasks: LeasedTask[];
  /** Workers' rows by id. */
  rows: Record<string, 'live' | 'gone'>;
  workers: Process[];
  /** Statements that nobody waits for any more, and that PostgreSQL may still carry out. */
  stale: Stale[];
  /** How often a worker was told that it finished the task; and how often the task changed its lane. */
  told: number[];
  escalated: number[];
  /** What else may go wrong before the world runs smoothly: bounds the number of states, not the order of things. */
  faults: number;
}

interface Process {
  /** Id of its row; a new one after each lost lease. */
  id: string;
  /** `saw`: PostgreSQL has begun with it, and saw its worker alive; what it leases, others see later. */
  claim:
    | null
    | { id: string; step: 'sent'; saw: boolean }
    | { id: string; step: 'answered'; task: number | null; lease: number };
  /** `open`: a claim of its may have been carried out without its knowing. `suspects`: only of tasks whose earlier attempts it still ends. */
  doubt: 'none' | 'open' | 'suspects';
  /** What it believes to hold, by task. */
  holds: (Hold | null)[];
}

type End = 'done' | 'again' | 'escalated' | 'dead' | 'interrupted';

interface Hold {
  lease: number;
  /** Under which id it was claimed. */
  id: string;
  lane: LeasedTask['lane'];
  /** `runs`, or the end that is to be written. */
  end: 'runs' | End;
  step: 'unsaid' | 'sent' | 'accepted' | 'late';
  certainty: 'first' | 'repeated';
  /** It was known when the doubt ended, and may hide a later lease of the same task. */
  suspect: boolean;
}

type Stale = { what: 'claim'; id: string; saw: boolean } | { what: 'end'; task: number; lease: number; end: End };

/** Ways to get it wrong, each of which the explorer must find. */
export type Bug =
  | 'none'
  | 'ends count under any lease'
  | 'rescue keeps the lease'
  | 'rows are deleted while a claim is under way'
  | 'strays are left'
  | 'suspects are forgotten'
  | 'a repeated end is always believed'
  | 'escalation goes back to normal'
  | 'rescue forgets a cancel';

export interface Step {
  name: string;
  world: World;
  /** `smooth`: it also happens when nothing goes wrong any more. */
  weather: 'smooth' | 'fault';
  /** What was done to which task. */
  moved: { before: LeasedTask; action: LeaseAction; after: LeasedTask | null }[];
  /** What must never happen. */
  broken: string | null;
}

const FINISHED = new Set<LeasedTask['place']>(['done', 'dead', 'cancelled']);

/** @param tasks `1`: the other one has ended already. */
export function firstWorld(faults: number, tasks: 1 | 2 = 2): World {
  const task = (place: LeasedTask['place']): LeasedTask => ({
    place,
    lane: 'normal',
    lease: 0,
    holder: null,
    cancel: 'no',
    attempts: 0,
    failures: 0,
    ooms: 0,
    timeouts: 0,
    crashes: 0,
    losses: 0,
    interruptions: 0,
    lossesAllowed: 2,
  });
  const process = (id: string): Process => ({ id, claim: null, doubt: 'none', holds: [null, null] });
  return {
    tasks: [task('ready'), task(tasks === 2 ? 'ready' : 'done')],
    rows: { a: 'live', b: 'live' },
    workers: [process('a'), process('b')],
    stale: [],
    told: [0, 0],
    escalated: [0, 0],
    faults,
  };
}

export function isOver(world: World): boolean {
  return world.tasks.every(({ place }) => FINISHED.has(place));
}

/** Everything that may happen next. */
export function stepsFrom(world: World, bug: Bug): Step[] {
  const steps: Step[] = [];
  const step = (name: string, weather: Step['weather'], change: (next: Change) => void): void => {
    if (weather === 'fault' && world.faults === 0) return;
    const next = new Change(structuredCopy(world), bug);
    if (weather === 'fault') next.world.faults -= 1;
    change(next);
    steps.push({ name, weather, world: next.world, moved: next.moved, broken: next.broken });
  };
  world.workers.forEach((worker, w) => workerSteps(world, worker, w, step));
  world.stale.forEach((word, index) => {
    const done = (next: Change): void => void next.world.stale.splice(index, 1);
    step(`${word.what} that nobody waits for is lost`, 'smooth', done);
    if (word.what === 'claim' && !word.saw) {
      if (world.rows[word.id] === 'live')
        step(
          'claim that nobody waits for begins',
          'smooth',
          (next) => void next.world.stale.splice(index, 1, { ...word, saw: true }),
        );
      return;
    }
    step(`${word.what} that nobody waits for is carried out`, 'smooth', (next) => {
      done(next);
      if (word.what === 'end') next.end(word.task, word.lease, word.end);
      else
        next.claim(
          word.id,
          world.tasks.findIndex(({ place }) => place === 'ready'),
        );
    });
  });
  for (const [id, row] of Object.entries(world.rows)) {
    const owner = world.workers.find((worker) => worker.id === id);
    // One that was killed falls silent for sure.
    if (row === 'live')
      step(
        'a worker is given up',
        owner === undefined ? 'smooth' : 'fault',
        (next) => void (next.world.rows[id] = 'gone'),
      );
    const underWay = isUnderWay(world, id) && bug !== 'rows are deleted while a claim is under way';
    if (row === 'gone' && !underWay && !world.tasks.some(({ holder }) => holder === id)) {
      step('the row of a worker is deleted', 'smooth', (next) => void delete next.world.rows[id]);
    }
  }
  const gone = Object.keys(world.rows).filter((id) => world.rows[id] === 'gone');
  world.tasks.forEach((task, t) => {
    if (task.holder !== null && gone.includes(task.holder))
      step('rescue', 'smooth', (next) => void next.move(t, { do: 'rescue', gone }));
    if (task.place === 'scheduled') step('promote', 'smooth', (next) => void next.move(t, { do: 'promote' }));
    if (task.cancel === 'no' && !FINISHED.has(task.place))
      step('cancel', 'fault', (next) => void next.move(t, { do: 'cancel' }));
    if (task.place === 'dead') step('redrive', 'fault', (next) => void next.move(t, { do: 'redrive' }));
  });
  return steps;
}

type AddStep = (name: string, weather: Step['weather'], change: (next: Change) => void) => void;

function workerSteps(world: World, worker: Process, w: number, step: AddStep): void {
  const me = (next: Change): Process => theOne(next.world.workers[w]);
  const { claim } = worker;
  if (claim === null && worker.holds.includes(null)) {
    step('asks for a task', 'smooth', (next) => {
      // What it does not know of is given back before it asks for more.
      if (worker.doubt !== 'none') next.giveBackStrays(me(next));
      me(next).claim = { id: worker.id, step: 'sent', saw: false };
    });
  }
  if (claim === null && worker.doubt !== 'none') {
    step('a heartbeat gives back strays', 'smooth', (next) => next.giveBackStrays(me(next)));
  }
  if (claim?.step === 'sent') {
    if (claim.saw) {
      world.tasks.forEach((task, t) => {
        if (task.place === 'ready')
          step('a claim is carried out', 'smooth', (next) => void (me(next).claim = next.claim(claim.id, t)));
      });
    } else if (world.rows[claim.id] === 'live') {
      step('a claim begins', 'smooth', (next) => void (me(next).claim = { ...claim, saw: true }));
    }
    step('a claim finds nothing', 'smooth', (next) => void (me(next).claim = null));
    step('the connection breaks under a claim', 'fault', (next) => {
      Object.assign(me(next), { claim: null, doubt: 'open' });
      next.world.stale.push({ what: 'claim', id: claim.id, saw: claim.saw });
    });
  }
  if (claim?.step === 'answered') {
    step('the answer to a claim arrives', 'smooth', (next) => {
      const self = me(next);
      self.claim = null;
      // Claimed under a lease that is lost meanwhile: not begun.
      if (claim.task === null || claim.id !== self.id) return;
      const lane = theOne(world.tasks[claim.task]).lane;
      self.holds[claim.task] = {
        lease: claim.lease,
        id: claim.id,
        lane,
        end: 'runs',
        step: 'unsaid',
        certainty: 'first',
        suspect: false,
      };
    });
    step(
      'the answer to a claim is lost',
      'fault',
      (next) => void Object.assign(me(next), { claim: null, doubt: claim.id === worker.id ? 'open' : worker.doubt }),
    );
  }
  worker.holds.forEach((hold, t) => {
    if (hold !== null)
      holdSteps(
        hold,
        t,
        (next) => theOne(theOne(me(next).holds[t])),
        (next) => void (me(next).holds[t] = null),
        step,
      );
  });
  if (world.rows[worker.id] !== 'live') {
    step('a heartbeat hears that the lease is lost', 'smooth', (next) => next.renew(w, 'goes on'));
  }
  step('is killed', 'fault', (next) => next.renew(w, 'killed'));
}

function holdSteps(
  hold: Hold,
  t: number,
  mine: (next: Change) => Hold,
  drop: (next: Change) => void,
  step: AddStep,
): void {
  const say = (end: End, weather: Step['weather']): void =>
    step(`ends ${end}`, weather, (next) => void Object.assign(mine(next), { end, step: 'sent' }));
  if (hold.end === 'runs') {
    say('done', 'smooth');
    for (const end of ['again', 'dead', 'interrupted'] as const) say(end, 'fault');
    if (hold.lane === 'normal') say('escalated', 'fault');
    step('gives it back unbegun', 'fault', (next) => {
      drop(next);
      next.move(t, { do: 'unclaim', lease: hold.lease });
    });
    return;
  }
  const { end } = hold;
  if (hold.step === 'unsaid') step('says it again', 'smooth', (next) => void (mine(next).step = 'sent'));
  if (hold.step === 'sent') {
    step('an end is carried out', 'smooth', (next) => void (mine(next).step = next.end(t, hold.lease, end, hold)));
    step('the connection breaks under an end', 'fault', (next) => {
      Object.assign(mine(next), { step: 'unsaid', certainty: 'repeated' });
      next.world.stale.push({ what: 'end', task: t, lease: hold.lease, end });
    });
  }
  if (hold.step === 'accepted' || hold.step === 'late') {
    step('the answer to an end arrives', 'smooth', (next) => {
      drop(next);
      if (hold.step !== 'accepted' || end !== 'done') return;
      next.world.told[t] = (next.world.told[t] ?? 0) + 1;
      if ((next.world.told[t] ?? 0) > 1) next.broken = 'two attempts were told that they finished the task';
    });
    step(
      'the answer to an end is lost',
      'fault',
      (next) => void Object.assign(mine(next), { step: 'unsaid', certainty: 'repeated' }),
    );
  }
}

/** A step under way. */
class Change {
  readonly world: World;
  readonly moved: Step['moved'] = [];
  broken: string | null = null;
  readonly #bug: Bug;

  constructor(world: World, bug: Bug) {
    this.world = world;
    this.#bug = bug;
  }

  move(t: number, action: LeaseAction): boolean {
    const before = theOne(this.world.tasks[t]);
    const asked =
      this.#bug === 'ends count under any lease' && 'lease' in action ? { ...action, lease: before.lease } : action;
    let after = moveTask(before, asked);
    this.moved.push({ before, action, after });
    if (after === null) return false;
    if (this.#bug === 'rescue keeps the lease' && action.do === 'rescue') after = { ...after, lease: before.lease };
    if (this.#bug === 'rescue forgets a cancel' && action.do === 'rescue' && before.cancel === 'wanted')
      after = { ...before, place: 'ready', holder: null, cancel: 'no', lease: before.lease + 1 };
    if (this.#bug === 'escalation goes back to normal' && action.do === 'rescue') after.lane = 'normal';
    this.#judge(before, action, after);
    if (before.lane === 'normal' && after.lane === 'fallback') {
      this.world.escalated[t] = (this.world.escalated[t] ?? 0) + 1;
      if ((this.world.escalated[t] ?? 0) > 1) this.broken = 'a task was escalated twice';
    }
    // What the machine does not decide by is not worth a state of its own.
    this.world.tasks[t] = { ...after, attempts: 0, failures: 0, ooms: 0, timeouts: 0, interruptions: 0 };
    return true;
  }

  /** A claim that saw its worker alive commits. */
  claim(id: string, t: number): Process['claim'] {
    if (t < 0 || !this.move(t, { do: 'claim', worker: id })) return { id, step: 'answered', task: null, lease: 0 };
    return { id, step: 'answered', task: t, lease: theOne(this.world.tasks[t]).lease };
  }

  /** What PostgreSQL answers to the end of an attempt. */
  end(t: number, lease: number, end: End, hold?: Hold): 'accepted' | 'late' {
    const before = theOne(this.world.tasks[t]);
    if (this.move(t, actionOf(end, lease, before.lane))) return 'accepted';
    const there = !FINISHED.has(before.place) || before.place === 'dead';
    if (end !== 'done' || hold?.certainty !== 'repeated' || there) return 'late';
    // As long as its worker was not given up, nobody else can have ended it.
    return this.world.rows[hold.id] === 'live' || this.#bug === 'a repeated end is always believed'
      ? 'accepted'
      : 'late';
  }

  giveBackStrays(worker: Process): void {
    if (this.#bug !== 'strays are left') {
      this.world.tasks.forEach((_, t) => {
        if (worker.holds[t] === null) this.move(t, { do: 'unclaim stray', worker: worker.id });
      });
    }
    // While a claim of its may still be carried out, it goes on looking; and while an attempt of before has not ended, which may hide a stray.
    if (this.world.stale.some((word) => word.what === 'claim' && word.id === worker.id)) return;
    if (worker.doubt === 'open') for (const hold of worker.holds) if (hold !== null) hold.suspect = true;
    const suspects = this.#bug !== 'suspects are forgotten' && worker.holds.some((hold) => hold?.suspect === true);
    worker.doubt = suspects ? 'suspects' : 'none';
  }

  /** A worker goes on under a new id: it has heard that the lease is lost, or it was killed and is started again. */
  renew(w: number, how: 'goes on' | 'killed'): void {
    const worker = theOne(this.world.workers[w]);
    if (how === 'killed') {
      if (worker.claim?.step === 'sent')
        this.world.stale.push({ what: 'claim', id: worker.claim.id, saw: worker.claim.saw });
      worker.claim = null;
      worker.holds.forEach((hold, task) => {
        if (hold?.step === 'sent' && hold.end !== 'runs')
          this.world.stale.push({ what: 'end', task, lease: hold.lease, end: hold.end });
      });
      worker.holds = worker.holds.map(() => null);
    }
    worker.id = `${worker.id}'`;
    while (this.world.rows[worker.id] !== undefined || isNamed(this.world, worker.id, w)) worker.id += `'`;
    worker.doubt = 'none';
    this.world.rows[worker.id] = 'live';
  }

  #judge(before: LeasedTask, action: LeaseAction, after: LeasedTask): void {
    const held = 'lease' in action && action.lease !== before.lease;
    if (held) this.broken = 'an end counted that came under an old lease';
    const changesHands = (before.holder ?? '') !== (after.holder ?? '') && after.place !== 'done';
    if (changesHands && !FINISHED.has(after.place) && after.lease <= before.lease)
      this.broken = 'a task changed hands and its lease did not grow';
    if (before.lane === 'fallback' && after.lane === 'normal') this.broken = 'a task left the lane fallback';
    if (before.cancel === 'wanted' && after.cancel === 'no' && !FINISHED.has(after.place))
      this.broken = 'a cancel was forgotten';
    if ((after.place === 'running') !== (after.holder !== null)) this.broken = 'a task runs and nobody has it';
    if (FINISHED.has(before.place) && !(before.place === 'dead' && action.do === 'redrive'))
      this.broken = 'a task that had ended was moved';
  }
}

function actionOf(end: End, lease: number, lane: LeasedTask['lane']): LeaseAction {
  switch (end) {
    case 'done':
      return { do: 'finish', lease };
    case 'dead':
      return { do: 'bury', lease };
    case 'again':
      return { do: 'release', lease, counts: 'crash', lane, due: 'later' };
    case 'escalated':
      return { do: 'release', lease, counts: 'oom', lane: 'fallback', due: 'at once' };
    case 'interrupted':
      return { do: 'release', lease, counts: 'interrupted', lane, due: 'at once' };
  }
}

/** Whether a claim under this id may still be carried out. */
function isUnderWay(world: World, id: string): boolean {
  return (
    world.stale.some((word) => word.what === 'claim' && word.id === id) ||
    world.workers.some(({ claim }) => claim?.id === id && claim.step === 'sent')
  );
}

function isNamed(world: World, id: string, except: number): boolean {
  return (
    isUnderWay(world, id) ||
    world.tasks.some(({ holder }) => holder === id) ||
    world.workers.some(
      (worker, w) => (w !== except && worker.id === id) || worker.holds.some((hold) => hold?.id === id),
    )
  );
}

function theOne<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('the world has no such thing');
  return value;
}

function structuredCopy(world: World): World {
  return {
    ...world,
    tasks: world.tasks.map((task) => ({ ...task })),
    rows: { ...world.rows },
    workers: world.workers.map((worker) => ({ ...worker, holds: worker.holds.map((hold) => hold && { ...hold }) })),
    stale: [...world.stale],
    told: [...world.told],
    escalated: [...world.escalated],
  };
}

/** The same text for worlds that differ in nothing but names: of workers, of tasks, and of leases, of which only the order counts. */
export function canonical(world: World): string {
  // In an order that does not depend on the names; where that leaves a choice, the least text of all choices.
  const tasks = orders(
    world.tasks.map((task, t) => `${task.place}${task.lane}${task.cancel}${world.told[t]}${world.escalated[t]}`),
  );
  let least: string | null = null;
  for (const order of tasks) {
    const looks = world.workers.map(
      ({ claim, doubt, holds }) =>
        `${claim?.step}${doubt}${order.map((t) => `${holds[t]?.end}${holds[t]?.step}`).join()}`,
    );
    for (const workers of orders(looks)) {
      const one = text(world, workers, order);
      if (least === null || one < least) least = one;
    }
  }
  return least ?? '';
}

function orders([first = '', second = '']: string[]): number[][] {
  if (first < second) return [[0, 1]];
  return first > second
    ? [[1, 0]]
    : [
        [0, 1],
        [1, 0],
      ];
}

function text(world: World, workers: number[], tasks: number[]): string {
  const ids = new Map<string, number>();
  const id = (name: string | null): string => {
    if (name === null) return '-';
    if (!ids.has(name)) ids.set(name, ids.size);
    return `${ids.get(name)}${(world.rows[name] ?? 'none')[0]}`;
  };
  for (const w of workers) id(theOne(world.workers[w]).id);
  const ranks = tasks.map((t) => leaseRanks(world, t));
  const rank = (t: number, lease: number): number => ranks[tasks.indexOf(t)]?.indexOf(lease) ?? -1;
  const parts: unknown[] = [world.faults];
  for (const t of tasks) {
    const task = theOne(world.tasks[t]);
    const { place, lane, cancel, crashes, losses } = task;
    const live = !FINISHED.has(place);
    parts.push(
      place,
      lane[0],
      cancel[0],
      live ? Math.min(crashes + losses, 2) : 0,
      rank(t, task.lease),
      id(task.holder),
      world.told[t],
      world.escalated[t],
    );
  }
  for (const w of workers) {
    const { claim, doubt, holds } = theOne(world.workers[w]);
    parts.push(doubt[0]);
    if (claim === null) parts.push('.');
    else if (claim.step === 'sent') parts.push('s', id(claim.id), claim.saw);
    else
      parts.push(
        'a',
        id(claim.id),
        claim.task === null ? '-' : tasks.indexOf(claim.task),
        claim.task === null ? '' : rank(claim.task, claim.lease),
      );
    for (const t of tasks) {
      const hold = holds[t];
      if (hold === null || hold === undefined) parts.push('.');
      else
        parts.push(
          rank(t, hold.lease),
          id(hold.id),
          hold.lane[0],
          hold.end,
          hold.step,
          hold.certainty[0],
          doubt === 'suspects' && hold.suspect,
        );
    }
  }
  const stale = world.stale.map((word) =>
    word.what === 'claim'
      ? `c${id(word.id)}${word.saw}`
      : `e${tasks.indexOf(word.task)} ${rank(word.task, word.lease)} ${word.end}`,
  );
  parts.push(...stale.sort());
  // Rows that nothing else names.
  const rest = Object.keys(world.rows).filter((name) => !ids.has(name));
  parts.push(...rest.map((name) => world.rows[name] ?? '').sort());
  return parts.join();
}

function leaseRanks(world: World, t: number): number[] {
  const leases = new Set<number>([theOne(world.tasks[t]).lease]);
  for (const { claim, holds } of world.workers) {
    if (claim?.step === 'answered' && claim.task === t) leases.add(claim.lease);
    const hold = holds[t];
    if (hold) leases.add(hold.lease);
  }
  for (const word of world.stale) if (word.what === 'end' && word.task === t) leases.add(word.lease);
  return [...leases].toSorted((a, b) => a - b);
}
