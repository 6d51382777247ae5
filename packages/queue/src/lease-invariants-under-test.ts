import type { LeaseAction, LeasedTask } from './lease-machine.ts';
import { FINISHED, type Hold } from './lease-world-under-test.ts';

/** What must never happen to a task, whoever does what; null: it did not. */
export function brokenBy(before: LeasedTask, action: LeaseAction, after: LeasedTask): string | null {
  const over = FINISHED.has(after.place);
  if (FINISHED.has(before.place) && !(before.place === 'dead' && action.do === 'redrive'))
    return 'a task that had ended was moved';
  if ('lease' in action && holderOf(before) === null) return 'an end counted of a task that nobody has';
  if ('lease' in action && action.lease !== leaseOf(before)) return 'an end counted that came under an old lease';
  if ((action.do === 'claim' || action.do === 'claim in bundle') && holderOf(before) !== null)
    return 'a task was given to two workers';
  if (action.do === 'cancel' && holderOf(before) !== null && over)
    return 'a cancel deleted a task that somebody works on';
  if (holderOf(before) !== holderOf(after) && !over && leaseOf(after) <= leaseOf(before))
    return 'a task changed hands and its lease did not grow';
  if (before.lane === 'fallback' && after.lane === 'normal') return 'a task left the lane fallback';
  if (before.cancel === 'wanted' && after.cancel === 'no' && !over) return 'a cancel was forgotten';
  if ((after.place === 'running') !== (after.holder !== null)) return 'a task runs and nobody has it';
  if (after.bundle !== null && after.place !== 'ready') return 'a task is leased with a bundle and is not in its line';
  if (action.do === 'rescue bundle' && (after.losses !== before.losses || after.attempts === 0))
    return 'a task that may not have begun counts as lost, or as never begun';
  return null;
}

/** An attempt was told that it came too late: not while the task is its own. */
export function wronglyRefused(task: LeasedTask, hold: Hold): string | null {
  const own = holderOf(task) === hold.id && leaseOf(task) === hold.lease;
  return own ? 'an end was refused of the attempt that holds the task' : null;
}

/** The worker it is leased to, singly or with a bundle. */
function holderOf({ holder, bundle }: LeasedTask): string | null {
  return holder ?? bundle?.worker ?? null;
}

/** The lease it is worked on under: of one in a bundle it is not written. */
function leaseOf({ lease, bundle }: LeasedTask): number {
  return bundle === null ? lease : lease + 1;
}
