import type { Ceiling, Environment as EnvironmentPolicy } from '@slipway/app';
import type { LaneSize } from '@slipway/queue/sizing';

/** The largest size of an attempt; Infinity: only the machine is a limit. */
export interface SizeCeiling {
  cpu: number;
  memoryBytes: number;
}

/** Rows of an earlier version have no ceiling. */
type Policy = Omit<EnvironmentPolicy, 'ceiling'> & { ceiling?: Ceiling };

/** What the policy of an environment allows. It is the default branch that says so, also for a pull request that says otherwise. */
export function ceilingOf({ policy: { ceiling } }: { policy: Policy }): SizeCeiling {
  return { cpu: ceiling?.cpu ?? Infinity, memoryBytes: ceiling?.memory ?? Infinity };
}

/** A size, or as much of it as is allowed. */
export function atMost(size: LaneSize, ceiling: SizeCeiling): LaneSize {
  return {
    ...size,
    cpu: Math.min(size.cpu, ceiling.cpu),
    memoryBytes: Math.min(size.memoryBytes, ceiling.memoryBytes),
  };
}

/** What a ceiling says, for people. */
export function limitsOf({ cpu, memoryBytes }: SizeCeiling): string {
  const limits = [
    ...(cpu === Infinity ? [] : [`${cpu} CPU`]),
    ...(memoryBytes === Infinity ? [] : [`${Math.round(memoryBytes / 2 ** 20)} MiB`]),
  ];
  return limits.length === 0 ? 'only the machine limits its workers' : `at most ${limits.join(' and ')} for an attempt`;
}
