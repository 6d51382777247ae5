import type { Wanted } from './source.ts';
import type { Claimed } from './statements/claimed.ts';

/** Lets through as many starts as the rates of kinds allow over all processes. */
export class RateGate {
  async admit(wanted: readonly Wanted[]): Promise<Wanted[]> {
    return [...wanted];
  }

  used(_allowed: readonly Wanted[], _claimed: readonly Claimed[]): void {}

  stop(): void {}
}
