import { brokenBy } from './lease-invariants-under-test.ts';
import { type LeaseAction, type LeasedTask, moveTask } from './lease-machine.ts';
import { type End, FINISHED, type Hold, isNamed, type Process, theOne, type World } from './lease-world-under-test.ts';

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
  | 'rescue forgets a cancel'
  | 'a claim does not look into bundles'
  | 'an end does not look for its bundle'
  | 'a task is taken out of a bundle that is gone'
  | 'a rescue gives the lease of a bundle again'
  | 'what was taken back has its old lease'
  | 'a cancel takes what is in a bundle for waiting'
  | 'what a cancel took out ends with its bundle'
  | 'rescue forgets bundles'
  | 'stray bundles are left'
  | 'a bundle closes with its first end';

/** What was done to which task. */
export interface Moved {
  before: LeasedTask;
  action: LeaseAction;
  after: LeasedTask | null;
}

/** A step under way: what PostgreSQL carries out, and what workers learn of it. */
export class Change {
  readonly world: World;
  readonly moved: Moved[] = [];
  broken: string | null = null;
  readonly #bug: Bug;

  constructor(world: World, bug: Bug) {
    this.world = world;
    this.#bug = bug;
  }

  move(t: number, action: LeaseAction): boolean {
    const before = theOne(this.world.tasks[t]);
    const after = moveWith(this.#bug, before, action);
    this.moved.push({ before, action, after });
    if (after === null) return false;
    this.broken ??= brokenBy(before, action, after);
    if (action.do === 'claim' || action.do === 'claim in bundle') {
      const lease = action.do === 'claim' ? after.lease : after.lease + 1;
      if (lease <= theOne(this.world.given[t])) this.broken ??= 'a lease was given twice';
      this.world.given[t] = lease;
    }
    if (before.lane === 'normal' && after.lane === 'fallback') {
      this.world.escalated[t] = (this.world.escalated[t] ?? 0) + 1;
      if ((this.world.escalated[t] ?? 0) > 1) this.broken ??= 'a task was escalated twice';
    }
    this.world.tasks[t] = this.#simplified(after);
    return true;
  }

  /** What the machine does not decide by is not worth a state of its own. Of attempts it asks only whether there were any. */
  #simplified(task: LeasedTask): LeasedTask {
    const most = this.world.manners === 'singly' ? 0 : task.place === 'running' ? 2 : 1;
    const attempts = Math.min(task.attempts, most);
    return { ...task, attempts, failures: 0, ooms: 0, timeouts: 0, interruptions: 0 };
  }

  /** A claim that saw its worker alive commits. */
  claim(id: string, t: number): Process['claim'] {
    const got = this.move(t, { do: 'claim', worker: id })
      ? [{ task: t, lease: theOne(this.world.tasks[t]).lease }]
      : [];
    return { id, step: 'answered', got, bundle: null };
  }

  /** The same for several tasks in a bundle. */
  claimBundle(id: string, tasks: readonly number[]): Process['claim'] {
    this.world.made += 1;
    const bundle = this.world.made;
    for (const t of tasks) this.move(t, { do: 'claim in bundle', worker: id, bundle });
    this.world.bundles.push({ id: bundle, worker: id, tasks: [...tasks] });
    const got = tasks.map((task) => ({ task, lease: theOne(this.world.tasks[task]).lease + 1 }));
    return { id, step: 'answered', got, bundle };
  }

  /** What PostgreSQL answers to the end of an attempt. */
  end(t: number, said: Pick<Hold, 'lease' | 'bundle'> & { end: End }, hold?: Hold): 'accepted' | 'late' {
    const before = theOne(this.world.tasks[t]);
    const { lease, bundle, end } = said;
    if (bundle === null) {
      if (this.move(t, actionOf(end, lease, before.lane))) return 'accepted';
    } else if (this.#isOpen(bundle) || this.#bug === 'an end does not look for its bundle') {
      const finished = this.move(t, { do: 'finish bundled', bundle, lease });
      if (hold !== undefined) this.#close(bundle);
      if (finished) return 'accepted';
    }
    const there = !FINISHED.has(before.place) || before.place === 'dead';
    if (end !== 'done' || hold?.certainty !== 'repeated' || there) return 'late';
    // As long as its worker was not given up, nobody else can have ended it.
    return this.world.rows[hold.id] === 'live' || this.#bug === 'a repeated end is always believed'
      ? 'accepted'
      : 'late';
  }

  /** Whether an end that was refused with its bundle is tried as that of a task that has left it. */
  get triesAgain(): boolean {
    return this.#bug !== 'what a cancel took out ends with its bundle';
  }

  takeOut(t: number, { bundle, lease }: { bundle: number; lease: number }): void {
    if (!this.#isOpen(bundle) && this.#bug !== 'a task is taken out of a bundle that is gone') return;
    this.#unname(t);
    this.move(t, { do: 'take out', bundle, lease });
  }

  takeBack(t: number, bundle: number): void {
    if (!this.#isOpen(bundle)) return;
    this.#unname(t);
    this.move(t, { do: 'take back', bundle });
  }

  cancel(t: number): void {
    this.move(t, { do: 'cancel' });
    this.#unname(t);
  }

  /** An end that is the last of its bundle, as its worker knows it, deletes it. With its lease a worker forgets its bundles. */
  #close(id: number): void {
    const row = this.world.bundles.find((bundle) => bundle.id === id);
    const worker = this.world.workers.find((one) => one.id === row?.worker);
    if (worker === undefined) return;
    const open = worker.holds.filter((hold) => hold?.bundle === id).length;
    if (open > 1 && this.#bug !== 'a bundle closes with its first end') return;
    if (this.world.tasks.some((task) => task.bundle?.id === id))
      this.broken ??= 'a bundle was closed that leases a task';
    this.#delete(id);
  }

  rescueBundle(id: number, gone: readonly string[]): void {
    this.world.tasks.forEach((task, t) => {
      if (task.bundle?.id === id) this.move(t, { do: 'rescue bundle', gone });
    });
    this.#delete(id);
  }

  giveBackStrays(worker: Process): void {
    const unknown = (t: number) => (worker.holds[t]?.end ?? 'unbegun') === 'unbegun';
    const strays = this.world.bundles.filter((bundle) => bundle.worker === worker.id && bundle.tasks.every(unknown));
    if (this.#bug !== 'stray bundles are left') {
      for (const { id } of strays) {
        this.world.tasks.forEach((task, t) => {
          if (task.bundle?.id === id) this.move(t, { do: 'take back stray', worker: worker.id });
        });
        this.#delete(id);
      }
    }
    if (this.#bug !== 'strays are left') {
      this.world.tasks.forEach((_, t) => {
        if (unknown(t)) this.move(t, { do: 'unclaim stray', worker: worker.id });
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
      if (worker.claim?.step === 'sent') {
        const { id, saw } = worker.claim;
        this.world.stale.push({ what: 'claim', id, saw });
      }
      worker.claim = null;
      worker.holds.forEach((hold, task) => {
        if (hold === null) return;
        const { lease, end, bundle } = hold;
        if (hold.step === 'sent' && end !== 'runs' && end !== 'unbegun')
          this.world.stale.push({ what: 'end', task, lease, end, bundle });
        if (hold.leaves === 'sent' && bundle !== null) this.world.stale.push({ what: 'take out', task, lease, bundle });
      });
      worker.holds = worker.holds.map(() => null);
    }
    worker.id = `${worker.id}'`;
    while (this.world.rows[worker.id] !== undefined || isNamed(this.world, worker.id, w)) worker.id += `'`;
    worker.doubt = 'none';
    this.world.rows[worker.id] = 'live';
  }

  #isOpen(id: number): boolean {
    return this.world.bundles.some((bundle) => bundle.id === id);
  }

  #unname(t: number): void {
    for (const bundle of this.world.bundles) bundle.tasks = bundle.tasks.filter((named) => named !== t);
  }

  #delete(id: number): void {
    this.world.bundles = this.world.bundles.filter((bundle) => bundle.id !== id);
  }
}

/** The machine, or the machine with a planted bug. */
function moveWith(bug: Bug, before: LeasedTask, action: LeaseAction): LeasedTask | null {
  switch (bug) {
    case 'ends count under any lease':
      return moveTask(before, 'lease' in action ? { ...action, lease: before.lease } : action);
    case 'a claim does not look into bundles':
      return moveTask(action.do === 'claim' ? { ...before, bundle: null } : before, action);
    case 'an end does not look for its bundle':
      return moveTask(before, action.do === 'finish bundled' ? { do: 'finish', lease: before.lease } : action);
    case 'a task is taken out of a bundle that is gone':
      if (action.do !== 'take out' || before.place !== 'ready' || before.bundle !== null)
        return moveTask(before, action);
      return moveTask({ ...before, lease: action.lease - 1, bundle: { id: action.bundle, worker: 'whoever' } }, action);
    case 'a cancel takes what is in a bundle for waiting':
      return moveTask(action.do === 'cancel' ? { ...before, bundle: null } : before, action);
    default: {
      const after = moveTask(before, action);
      return after && spoiled(bug, before, action, after);
    }
  }
}

function spoiled(bug: Bug, before: LeasedTask, action: LeaseAction, after: LeasedTask): LeasedTask {
  if (bug === 'rescue keeps the lease' && action.do === 'rescue') return { ...after, lease: before.lease };
  if (bug === 'rescue forgets a cancel' && action.do === 'rescue' && before.cancel === 'wanted')
    return { ...before, place: 'ready', holder: null, cancel: 'no', lease: before.lease + 1 };
  if (bug === 'escalation goes back to normal' && action.do === 'rescue') return { ...after, lane: 'normal' };
  if (bug === 'a rescue gives the lease of a bundle again' && action.do === 'rescue bundle')
    return { ...after, lease: before.lease + 1 };
  if (bug === 'what was taken back has its old lease' && action.do === 'take back')
    return { ...after, lease: before.lease };
  return after;
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
