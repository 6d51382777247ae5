import type { Claimed } from './claimed.ts';

/**
 * A task that was lost before and dies with the next loss. Of such tasks a process runs one at a time: so one that takes its process down
 * does not take others along to the dead letters. (One whose kind allows no second try would run alone from the first on, which nobody asked for.)
 */
export function isOnLastChance({ losses, crashes, lossesAllowed }: Claimed): boolean {
  return losses > 0 && losses + crashes + 1 >= lossesAllowed;
}

/** The same as a condition. */
export function onLastChance(task: string): string {
  return `(${task}.losses > 0 and ${task}.losses + ${task}.crashes + 1 >= ${task}.losses_allowed)`;
}
