import { type Bug, Change, type Moved } from './lease-change-under-test.ts';
import {
  copyOf,
  type End,
  FINISHED,
  type Hold,
  isUnderWay,
  type Process,
  theOne,
  type World,
} from './lease-world-under-test.ts';

export interface Step {
  name: string;
  world: World;
  /** `smooth`: it also happens when nothing goes wrong any more. */
  weather: 'smooth' | 'fault';
  moved: Moved[];
  /** What must never happen. */
  broken: string | null;
}

/** Everything that may happen next. */
export function stepsFrom(world: World, bug: Bug): Step[] {
  const steps: Step[] = [];
  const step = (name: string, weather: Step['weather'], change: (next: Change) => void): void => {
    if (weather === 'fault' && world.faults === 0) return;
    const next = new Change(copyOf(world), bug);
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
