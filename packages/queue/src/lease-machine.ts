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
  | { do: 'redrive' };

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
 * | claim         | ready                                        | running                        | +1 | attempts +1 |
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
 * That a worker is registered and not gone when it claims, and that its row outlasts its claims, is the world's business.
 *
 * @returns null: the action does not concern a task in this state, and changes nothing. What came under an old lease is `late`.
 */
export function moveTask(task: LeasedTask, action: LeaseAction): LeasedTask | null {
  const free = { holder: null, lease: task.lease + 1 };
  switch (action.do) {
    case 'claim':
      if (task.place !== 'ready') return null;
      return {
        ...task,
        place: 'running',
        holder: action.worker,
        lease: task.lease + 1,
        attempts: task.attempts + 1,
      };
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
      if (task.place === 'running') return { ...task, cancel: 'wanted' };
      return isWaiting(task) ? ended(task, 'cancelled') : null;
    case 'promote':
      return task.place === 'scheduled' ? { ...task, place: 'ready' } : null;
    case 'unblock':
      return task.place === 'blocked' ? { ...task, place: 'ready' } : null;
    case 'redrive':
      if (task.place !== 'dead') return null;
      return { ...task, ...free, place: 'ready', failures: 0, ooms: 0, timeouts: 0, crashes: 0, losses: 0 };
  }
}

/** A lease is never given twice, so the number alone tells. */
function isHeld(task: LeasedTask, lease: number): boolean {
  return task.place === 'running' && task.lease === lease;
}

function isWaiting({ place }: LeasedTask): boolean {
  return place === 'blocked' || place === 'scheduled' || place === 'ready';
}

function ended(task: LeasedTask, place: 'done' | 'dead' | 'cancelled'): LeasedTask {
  return { ...task, place, holder: null, cancel: 'no' };
}
