import type { EndCause } from './statements/release.ts';
import type { Lane } from './statements/lane.ts';

/**
 * What the lease machine knows of one task. `done` and `cancelled` have no row any more; `dead` is among the dead letters.
 */
export interface LeasedTask {
  place: 'blocked' | 'scheduled' | 'ready' | 'running' | 'done' | 'dead' | 'cancelled';
  lane: Lane;
  /** Fencing token. */
  lease: number;
  /** Id of the worker it is leased to; null unless it runs. */
  holder: string | null;
  /** The bundle it is leased with, and whose that is: its row says that it is ready, and it is not. Null: with none. */
  bundle: { id: number; worker: string } | null;
  /** `wanted`: it runs, and is to be gone when its attempt ends. */
  cancel: 'wanted' | 'no';
  attempts: number;
  failures: number;
  ooms: number;
  timeouts: number;
  crashes: number;
  losses: number;
  interruptions: number;
  lossesAllowed: number;
}

/** One statement of `statements/`, as far as it concerns one task. */
export type LeaseAction =
  | { do: 'claim'; worker: string }
  | { do: 'finish'; lease: number }
  | {
      do: 'release';
      lease: number;
      counts: Exclude<EndCause, 'lost'> | null;
      lane: Lane;
      due: 'at once' | 'later';
    }
  | { do: 'bury'; lease: number }
  | { do: 'unclaim'; lease: number }
  | { do: 'unclaim stray'; worker: string }
  | { do: 'rescue'; gone: readonly string[] }
  | { do: 'cancel' }
  | { do: 'promote' }
  | { do: 'unblock' }
  | { do: 'redrive' }
  | { do: 'claim in bundle'; worker: string; bundle: number }
  | { do: 'finish bundled'; bundle: number; lease: number }
  | { do: 'take out'; bundle: number; lease: number }
  | { do: 'take back'; bundle: number }
  | { do: 'take back stray'; worker: string }
  | { do: 'rescue bundle'; gone: readonly string[] };

const counters = {
  error: 'failures',
  oom: 'ooms',
  timeout: 'timeouts',
  crash: 'crashes',
  interrupted: 'interruptions',
} as const;

/**
 * Moves a task: the whole of what the statements may do to it, written down once. Nothing runs on this function: it is the
 * specification. The tests explore what two workers can do with two tasks under it, to the last state, and hold every statement
 * against it on a real PostgreSQL.
 *
 * A lease is the pair of a worker and a number. The number grows whenever the task is given to a worker or taken from one, so
 * whatever was said under an earlier one can be told from what is said now, however late it comes.
 *
 * | action | moves | to | lease | counts |
 * | --- | --- | --- | --- | --- |
 * | claim         | ready, in no bundle                          | running                        | +1 | attempts +1 |
 * | finish        | running under this lease                     | done                           |    | |
 * | release       | running under this lease                     | ready or scheduled, in a lane; cancelled if that is wanted | +1 | its cause +1 |
 * | bury          | running under this lease                     | dead; cancelled if that is wanted | | |
 * | unclaim       | running under this lease, not begun          | ready                          | +1 | attempts -1 |
 * | unclaim stray | running, leased to a worker that does not know of it | ready                  | +1 | attempts -1 |
 * | rescue        | running, leased to a worker that is gone     | ready; dead when losses and crashes reach what is allowed; cancelled if that is wanted | +1 | losses +1 |
 * | cancel        | blocked, scheduled, ready                    | cancelled                      |    | |
 * | cancel        | running                                      | running, cancel is wanted      |    | |
 * | promote       | scheduled                                    | ready                          |    | |
 * | unblock       | blocked                                      | ready                          |    | |
 * | redrive       | dead                                         | ready, in the lane it died in  | +1 | all causes but interruptions from 0 |
 *
 * A bundle leases many tasks with one row of its own, and a claim of it writes none of theirs. So the task runs under the lease after the one
 * in its row, and what says a lease of it is compared with that. Whatever else than being done happens to it takes it out first. Whoever
 * takes it from its worker makes up for the claim that was not written, so its lease grows by two.
 *
 * | action | moves | to | lease | counts |
 * | --- | --- | --- | --- | --- |
 * | claim in bundle | ready, in no bundle, never begun, not to be cancelled | leased with the bundle |  | |
 * | finish bundled  | leased with this bundle under this lease; running under it, after a cancel | done |  | |
 * | take out        | leased with this bundle under this lease     | running, the worker's of the bundle | +1 | attempts +1 |
 * | take back       | leased with this bundle, not begun           | ready                          | +2 | |
 * | take back stray | leased with a bundle of a worker that does not know of it | ready             | +2 | |
 * | rescue bundle   | leased with a bundle of a worker that is gone | ready; not claimed in a bundle again | +2 | attempts +1 |
 * | cancel          | leased with a bundle                         | running, the worker's of the bundle; cancel is wanted | +1 | attempts +1 |
 *
 * Both the end of one that is leased with a bundle and everything that takes it out lock the bundle's row first, so one of them sees what the
 * other has done; claims of one line see each other's bundles. That a worker is registered and not gone when it claims, that its row
 * outlasts its claims, and that a bundle is deleted only when it leases nothing any more, is the world's business.
 *
 * @returns null: the action does not concern a task in this state, and changes nothing. What came under an old lease is `late`.
 */
export function moveTask(task: LeasedTask, action: LeaseAction): LeasedTask | null {
  const free = { holder: null, lease: task.lease + 1 };
  switch (action.do) {
    case 'claim':
      return task.place === 'ready' && task.bundle === null ? begun(task, action.worker) : null;
    case 'finish':
      return isHeld(task, action.lease) ? ended(task, 'done') : null;
    case 'bury':
      return isHeld(task, action.lease) ? ended(task, task.cancel === 'wanted' ? 'cancelled' : 'dead') : null;
    case 'release': {
      if (!isHeld(task, action.lease)) return null;
      if (task.cancel === 'wanted') return ended(task, 'cancelled');
      const place = action.due === 'later' ? 'scheduled' : 'ready';
      const released: LeasedTask = { ...task, ...free, place, lane: action.lane };
      if (action.counts !== null) released[counters[action.counts]] += 1;
      return released;
    }
    case 'unclaim':
      if (!isHeld(task, action.lease)) return null;
      return { ...task, ...free, place: 'ready', attempts: task.attempts - 1 };
    case 'unclaim stray':
      if (task.place !== 'running' || task.holder !== action.worker) return null;
      return { ...task, ...free, place: 'ready', attempts: task.attempts - 1 };
    case 'rescue': {
      if (task.place !== 'running' || task.holder === null || !action.gone.includes(task.holder)) return null;
      if (task.cancel === 'wanted') return ended(task, 'cancelled');
      const losses = task.losses + 1;
      if (losses + task.crashes >= task.lossesAllowed) return { ...ended(task, 'dead'), losses };
      return { ...task, ...free, place: 'ready', losses };
    }
    case 'cancel':
      if (task.bundle !== null) return { ...begun(task, task.bundle.worker), cancel: 'wanted' };
      if (task.place === 'running') return { ...task, cancel: 'wanted' };
      return isWaiting(task) ? ended(task, 'cancelled') : null;
    case 'promote':
      return task.place === 'scheduled' ? { ...task, place: 'ready' } : null;
    case 'unblock':
      return task.place === 'blocked' ? { ...task, place: 'ready' } : null;
    case 'redrive':
      if (task.place !== 'dead') return null;
      return { ...task, ...free, place: 'ready', failures: 0, ooms: 0, timeouts: 0, crashes: 0, losses: 0 };
    case 'claim in bundle':
      if (task.place !== 'ready' || task.bundle !== null || task.attempts > 0 || task.cancel === 'wanted') return null;
      return { ...task, bundle: { id: action.bundle, worker: action.worker } };
    case 'finish bundled':
      if (isBundled(task, action)) return ended(task, 'done');
      return task.place === 'running' && isHeld(task, action.lease) ? ended(task, 'done') : null;
    case 'take out':
      return task.bundle !== null && isBundled(task, action) ? begun(task, task.bundle.worker) : null;
    case 'take back':
      return task.bundle?.id === action.bundle ? unbundled(task) : null;
    case 'take back stray':
      return task.bundle?.worker === action.worker ? unbundled(task) : null;
    case 'rescue bundle':
      if (task.bundle === null || !action.gone.includes(task.bundle.worker)) return null;
      return { ...unbundled(task), attempts: task.attempts + 1 };
  }
}

/** A lease is never given twice, and none is in the row of a task that nobody has, so the number alone tells. */
function isHeld(task: LeasedTask, lease: number): boolean {
  return (isWaiting(task) || task.place === 'running') && task.lease === lease;
}

function isBundled({ bundle, lease }: LeasedTask, said: { bundle: number; lease: number }): boolean {
  return bundle?.id === said.bundle && lease + 1 === said.lease;
}

function unbundled(task: LeasedTask): LeasedTask {
  return { ...task, bundle: null, lease: task.lease + 2 };
}

function begun(task: LeasedTask, holder: string): LeasedTask {
  return { ...task, place: 'running', holder, bundle: null, lease: task.lease + 1, attempts: task.attempts + 1 };
}

function isWaiting({ place }: LeasedTask): boolean {
  return place === 'blocked' || place === 'scheduled' || place === 'ready';
}

function ended(task: LeasedTask, place: 'done' | 'dead' | 'cancelled'): LeasedTask {
  return { ...task, place, holder: null, bundle: null, cancel: 'no' };
}
