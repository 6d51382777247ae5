import { type Bug, Change, type Moved } from './lease-change-under-test.ts';
import { wronglyRefused } from './lease-invariants-under-test.ts';
import {
  copyOf,
  type End,
  FINISHED,
  forgetVain,
  type Hold,
  isLeasedTo,
  isUnderWay,
  type Process,
  type Stale,
  theOne,
  type World,
} from './lease-world-under-test.ts';

export interface Step {
  name: string;
  world: World;
  /** `smooth`: it also happens when nothing goes wrong any more. `death`: the fault is that of a worker. */
  weather: 'smooth' | 'fault' | 'death';
  moved: Moved[];
  /** What must never happen. */
  broken: string | null;
}

/** Everything that may happen next. */
export function stepsFrom(world: World, bug: Bug): Step[] {
  const steps: Step[] = [];
  const step: AddStep = (name, weather, change) => {
    if (weather !== 'smooth' && world.faults === 0) return;
    if (weather === 'death' && world.deaths === 0) return;
    const next = new Change(copyOf(world), bug);
    if (weather !== 'smooth') next.world.faults -= 1;
    if (weather === 'death') next.world.deaths -= 1;
    change(next);
    forgetVain(next.world);
    steps.push({ name, weather, world: next.world, moved: next.moved, broken: next.broken });
  };
  world.workers.forEach((_, w) => workerSteps(world, w, bug, step));
  world.stale.forEach((word, index) => staleSteps(world, word, index, bug, step));
  for (const id of Object.keys(world.rows)) rowSteps(world, id, bug, step);
  rescues(world, bug, step);
  world.tasks.forEach((task, t) => {
    if (task.place === 'scheduled') step('promote', 'smooth', (next) => void next.move(t, { do: 'promote' }));
    if (task.cancel === 'no' && !FINISHED.has(task.place)) step('cancel', 'fault', (next) => next.cancel(t));
    if (task.place === 'dead') step('redrive', 'fault', (next) => void next.move(t, { do: 'redrive' }));
  });
  return steps;
}

type AddStep = (name: string, weather: Step['weather'], change: (next: Change) => void) => void;

function staleSteps(world: World, word: Stale, index: number, bug: Bug, step: AddStep): void {
  const done = (next: Change): void => void next.world.stale.splice(index, 1);
  step(`${word.what} that nobody waits for is lost`, 'smooth', done);
  if (word.what === 'claim' && !word.saw) {
    if (world.rows[word.id] !== 'live') return;
    const begun = { ...word, saw: true };
    step('claim that nobody waits for begins', 'smooth', (next) => void next.world.stale.splice(index, 1, begun));
    return;
  }
  const late = (change: (next: Change) => void): void =>
    step(`${word.what} that nobody waits for is carried out`, 'smooth', (next) => {
      done(next);
      change(next);
    });
  if (word.what === 'end') late((next) => void next.end(word.task, word));
  else if (word.what === 'take out') late((next) => next.takeOut(word.task, word));
  else for (const claim of claimsOf(world, word.id, bug)) late((next) => void claim(next));
}

/** What a claim may get: any one task, or, in a bundle, any that were never begun. Whether it is to be a bundle shows only here. */
function claimsOf(world: World, worker: string, bug: Bug): ((next: Change) => Process['claim'])[] {
  const claims: ((next: Change) => Process['claim'])[] = [];
  const fresh: number[] = [];
  world.tasks.forEach(({ place, bundle, attempts, cancel }, t) => {
    if (place !== 'ready') return;
    const isFresh = bundle === null && attempts === 0 && cancel === 'no';
    if (isFresh) fresh.push(t);
    if (isFresh && world.manners === 'in bundles') return;
    if (bundle === null || bug === 'a claim does not look into bundles') claims.push((next) => next.claim(worker, t));
  });
  // The row of a bundle refers to that of its worker.
  if (world.manners === 'singly' || world.rows[worker] === undefined) return claims;
  const bundles = fresh.length === 2 ? [[0], [1], [0, 1]] : fresh.map((t) => [t]);
  return [...claims, ...bundles.map((tasks) => (next: Change) => next.claimBundle(worker, tasks))];
}

function rowSteps(world: World, id: string, bug: Bug, step: AddStep): void {
  const row = world.rows[id];
  const owner = world.workers.find((worker) => worker.id === id);
  // One that was killed falls silent for sure.
  if (row === 'live')
    step(
      'a worker is given up',
      owner === undefined ? 'smooth' : 'death',
      (next) => void (next.world.rows[id] = 'gone'),
    );
  const underWay = isUnderWay(world, id) && bug !== 'rows are deleted while a claim is under way';
  if (row === 'gone' && !underWay && !isLeasedTo(world, id))
    step('the row of a worker is deleted', 'smooth', (next) => void delete next.world.rows[id]);
}

function rescues(world: World, bug: Bug, step: AddStep): void {
  const gone = Object.keys(world.rows).filter((id) => world.rows[id] === 'gone');
  world.tasks.forEach(({ holder }, t) => {
    if (holder !== null && gone.includes(holder))
      step('rescue', 'smooth', (next) => void next.move(t, { do: 'rescue', gone }));
  });
  if (bug === 'rescue forgets bundles') return;
  for (const { id, worker } of world.bundles)
    if (gone.includes(worker)) step('rescue of a bundle', 'smooth', (next) => next.rescueBundle(id, gone));
}

function workerSteps(world: World, w: number, bug: Bug, step: AddStep): void {
  const worker = theOne(world.workers[w]);
  const me = (next: Change): Process => theOne(next.world.workers[w]);
  if (worker.claim === null && worker.holds.includes(null)) {
    step('asks for tasks', 'smooth', (next) => {
      // What it does not know of is given back before it asks for more.
      if (worker.doubt !== 'none') next.giveBackStrays(me(next));
      me(next).claim = { id: worker.id, step: 'sent', saw: false };
    });
  }
  if (worker.claim === null && worker.doubt !== 'none')
    step('a heartbeat gives back strays', 'smooth', (next) => next.giveBackStrays(me(next)));
  claimSteps(world, worker, bug, me, step);
  worker.holds.forEach((hold, t) => {
    if (hold === null) return;
    const mine = (next: Change): Hold => theOne(me(next).holds[t]);
    const drop = (next: Change): void => void (me(next).holds[t] = null);
    if (hold.leaves !== 'no') leavingSteps(hold, t, mine, step);
    else if (hold.end === 'runs')
      runningSteps(hold, t, world.manners === 'in bundles' ? 'few' : 'all', mine, drop, step);
    else if (hold.end === 'unbegun')
      step('gives back what was taken back', 'smooth', (next) => {
        drop(next);
        next.move(t, { do: 'unclaim', lease: hold.lease });
      });
    else endSteps({ ...hold, end: hold.end }, t, mine, drop, step);
  });
  if (world.rows[worker.id] !== 'live')
    step('a heartbeat hears that the lease is lost', 'smooth', (next) => next.renew(w, 'goes on'));
  step('is killed', 'death', (next) => next.renew(w, 'killed'));
}

function claimSteps(world: World, worker: Process, bug: Bug, me: (next: Change) => Process, step: AddStep): void {
  const { claim } = worker;
  if (claim?.step === 'sent') {
    const { id, saw } = claim;
    if (!saw && world.rows[id] === 'live')
      step('a claim begins', 'smooth', (next) => void (me(next).claim = { ...claim, saw: true }));
    if (saw)
      for (const one of claimsOf(world, id, bug))
        step('a claim is carried out', 'smooth', (next) => void (me(next).claim = one(next)));
    step('a claim finds nothing', 'smooth', (next) => void (me(next).claim = null));
    step('the connection breaks under a claim', 'fault', (next) => {
      Object.assign(me(next), { claim: null, doubt: 'open' });
      next.world.stale.push({ what: 'claim', id, saw });
    });
  }
  if (claim?.step === 'answered') {
    const { id, got, bundle } = claim;
    step('the answer to a claim arrives', 'smooth', (next) => {
      const self = me(next);
      self.claim = null;
      // Claimed under a lease that is lost meanwhile: not begun.
      if (id !== self.id) return;
      for (const { task, lease } of got)
        self.holds[task] = heldUnder(id, lease, theOne(world.tasks[task]).lane, bundle);
    });
    step(
      'the answer to a claim is lost',
      'fault',
      (next) => void Object.assign(me(next), { claim: null, doubt: id === worker.id ? 'open' : worker.doubt }),
    );
  }
}

function heldUnder(id: string, lease: number, lane: Hold['lane'], bundle: number | null): Hold {
  return { id, lease, lane, bundle, leaves: 'no', end: 'runs', step: 'runs', certainty: 'first', suspect: false };
}

function runningSteps(
  hold: Hold,
  t: number,
  ends: 'all' | 'few',
  mine: (next: Change) => Hold,
  drop: (next: Change) => void,
  step: AddStep,
): void {
  const { bundle, lease } = hold;
  const say = (end: End, weather: Step['weather']): void =>
    step(`ends ${end}`, weather, (next) => void Object.assign(mine(next), { end, step: 'sent' }));
  say('done', 'smooth');
  if (bundle !== null) {
    // For whatever else than being done, or to tell its progress. What it does next waits until the answer has come.
    step('leaves its bundle', 'smooth', (next) => void (mine(next).leaves = 'sent'));
    step('takes it back unbegun', 'fault', (next) => {
      next.takeBack(t, bundle);
      Object.assign(mine(next), { bundle: null, end: 'unbegun' });
    });
    return;
  }
  say('again', 'fault');
  if (ends === 'few') return;
  for (const end of ['dead', 'interrupted'] as const) say(end, 'fault');
  if (hold.lane === 'normal') say('escalated', 'fault');
  step('gives it back unbegun', 'fault', (next) => {
    drop(next);
    next.move(t, { do: 'unclaim', lease });
  });
}

function leavingSteps({ bundle, lease, leaves }: Hold, t: number, mine: (next: Change) => Hold, step: AddStep): void {
  if (bundle === null) return;
  const again = (next: Change): void => void (mine(next).leaves = 'sent');
  if (leaves === 'sent') {
    step('it is taken out of its bundle', 'smooth', (next) => {
      next.takeOut(t, { bundle, lease });
      mine(next).leaves = 'written';
    });
    step('the connection breaks under its leaving', 'fault', (next) => {
      // Said again.
      next.world.stale.push({ what: 'take out', task: t, lease, bundle });
    });
  }
  if (leaves === 'written') {
    step(
      'it hears that it has left',
      'smooth',
      (next) => void Object.assign(mine(next), { leaves: 'no', bundle: null }),
    );
    step('the answer to its leaving is lost', 'fault', again);
  }
}

function endSteps(
  hold: Hold & { end: End },
  t: number,
  mine: (next: Change) => Hold,
  drop: (next: Change) => void,
  step: AddStep,
): void {
  const { end, lease, bundle } = hold;
  if (hold.step === 'sent') {
    step('an end is carried out', 'smooth', (next) => void (mine(next).step = next.end(t, hold, hold)));
    step('the connection breaks under an end', 'fault', (next) => {
      Object.assign(mine(next), { step: 'sent', certainty: 'repeated' });
      next.world.stale.push({ what: 'end', task: t, lease, end, bundle });
    });
  }
  if (hold.step === 'accepted' || hold.step === 'late') {
    step('the answer to an end arrives', 'smooth', (next) => answered(next, hold, t, mine, drop));
    step(
      'the answer to an end is lost',
      'fault',
      (next) => void Object.assign(mine(next), { step: 'sent', certainty: 'repeated' }),
    );
  }
}

function answered(
  next: Change,
  hold: Hold & { end: End },
  t: number,
  mine: (next: Change) => Hold,
  drop: (next: Change) => void,
): void {
  if (hold.step === 'late' && hold.bundle !== null && next.triesAgain) {
    // A cancel may have taken it out.
    Object.assign(mine(next), { bundle: null, step: 'sent', certainty: 'first' });
    return;
  }
  drop(next);
  if (hold.step === 'late') next.broken ??= wronglyRefused(theOne(next.world.tasks[t]), hold);
  if (hold.step !== 'accepted' || hold.end !== 'done') return;
  next.world.told[t] = (next.world.told[t] ?? 0) + 1;
  if ((next.world.told[t] ?? 0) > 1) next.broken ??= 'two attempts were told that they finished the task';
}
