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
  | 'rescue forgets a cancel';

/** What was done to which task. */
export interface Moved {
  before: LeasedTask;
  action: LeaseAction;
  after: LeasedTask | null;
}

/** A step under way. */
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
