import { type AttemptSample, bumpedMemory, bumpedTimeout, type LaneSizes } from './measure-tasks.ts';
import type { NotYet, SizeProposal } from './proposal.ts';
import { roundMemory, roundTimeout } from './size-grid.ts';

export interface StabilityRule {
  /** Change only when it saves at least so much of the present cost. Default 10. */
  leastSavingPercent?: number;
  /** Change only after so many attempts since the last change. Default 200. */
  leastNewSamples?: number;
  /** How much larger than measured each task is taken to be. Default 1.15. */
  margin?: number;
  ceiling?: { cpu: number; memoryBytes: number };
}

export interface SizeDecision {
  change: 'apply' | 'keep';
  /** What is to be in force from now on. */
  sizes: LaneSizes;
  reason: string;
}

/**
 * Decides for `sizes: auto` whether a proposal comes into force. The first line that holds decides:
 *
 * | when | then |
 * | --- | --- |
 * | tasks ran out of memory or time in the fallback lane at its present limits | raise that limit at once, to the bump or to the proposal |
 * | there is no proposal, or too few new samples | keep |
 * | under the present sizes more tasks fail than under the proposal | apply |
 * | the saving is too small | keep |
 * | otherwise | apply |
 *
 * Whatever is applied, the fallback lane fits, with margin, every task of the window that was seen to finish.
 *
 * @param window the attempts that the proposal was made from, oldest first
 * @param newSamples how many of them came since the sizes were last changed
 */
export function decideSizes(
  present: LaneSizes,
  proposal: NotYet | SizeProposal,
  window: readonly AttemptSample[],
  newSamples: number,
  rule: StabilityRule = {},
): SizeDecision {
  const floored = (sizes: LaneSizes) => ({ ...sizes, fallback: floor(sizes.fallback, window, rule) });
  const starved = fallbackFailures(window.slice(Math.max(0, window.length - newSamples)), present.fallback);
  if (starved.length > 0) {
    const raised = raise(present, starved, proposal, rule);
    if (raised !== null) return { change: 'apply', sizes: floored(raised), reason: raisedReason(starved, raised) };
  }
  const keep = (reason: string): SizeDecision => ({ change: 'keep', sizes: present, reason });
  if (proposal.verdict === 'not yet') return keep(proposal.reason);
  const leastNew = rule.leastNewSamples ?? 200;
  if (newSamples < leastNew) {
    return keep(
      `${newSamples} attempts since the last change; the next one is considered after ${leastNew}, so that sizes don't swing.`,
    );
  }
  const sizes = floored(proposal.sizes);
  const apply = (reason: string): SizeDecision => ({ change: 'apply', sizes, reason });
  const now = proposal.present;
  if (now === null) return apply('No sizes are in force yet.');
  if (now.failShare > proposal.failShare) {
    return apply(
      `${(now.failShare * 100).toFixed(1)} % of the tasks don't finish under the present sizes, ${(proposal.failShare * 100).toFixed(1)} % under these.`,
    );
  }
  const least = rule.leastSavingPercent ?? 10;
  const saving = now.savingPercent.toFixed(1);
  if (now.savingPercent < least)
    return keep(`The proposal saves ${saving} %, less than the ${least} % that are worth a change.`);
  return apply(`Saves ${saving} % of the present cost.`);
}

/** Those that ended at the limits in force; failures at smaller, earlier limits are history. */
function fallbackFailures(samples: readonly AttemptSample[], fallback: LaneSizes['fallback']): AttemptSample[] {
  return samples.filter(
    ({ lane, end, limits }) =>
      lane === 'fallback' &&
      ((end === 'oom' && limits.memoryBytes >= fallback.memoryBytes) ||
        (end === 'timeout' && limits.timeoutSeconds >= fallback.timeoutSeconds)),
  );
}

/** Null: the ceiling is reached already. */
function raise(
  present: LaneSizes,
  starved: readonly AttemptSample[],
  proposal: NotYet | SizeProposal,
  { ceiling }: StabilityRule,
): LaneSizes | null {
  const { memoryBytes, timeoutSeconds } = present.fallback;
  const proposed = proposal.verdict === 'not yet' ? present.fallback : proposal.sizes.fallback;
  const raised = { ...present.fallback };
  if (starved.some(({ end }) => end === 'oom')) {
    const wanted = Math.max(roundMemory(bumpedMemory(memoryBytes)), proposed.memoryBytes);
    raised.memoryBytes = Math.max(memoryBytes, Math.min(wanted, ceiling?.memoryBytes ?? Infinity));
  }
  if (starved.some(({ end }) => end === 'timeout')) {
    raised.timeoutSeconds = Math.max(roundTimeout(bumpedTimeout(timeoutSeconds)), proposed.timeoutSeconds);
  }
  const larger = raised.memoryBytes > memoryBytes || raised.timeoutSeconds > timeoutSeconds;
  return larger ? { normal: present.normal, fallback: raised } : null;
}

function raisedReason(starved: readonly AttemptSample[], { fallback }: LaneSizes): string {
  const mib = Math.round(fallback.memoryBytes / 1024 ** 2);
  return `${starved.length} attempts ran out of memory or time in the fallback lane; it gets ${mib} MiB and ${fallback.timeoutSeconds} s.`;
}

function floor(
  fallback: LaneSizes['fallback'],
  window: readonly AttemptSample[],
  { margin = 1.15, ceiling }: StabilityRule,
): LaneSizes['fallback'] {
  const largest = window.reduce((most, { end, peakBytes }) => (end === 'done' ? Math.max(most, peakBytes) : most), 0);
  const needed = Math.min(roundMemory(largest * margin), ceiling?.memoryBytes ?? Infinity);
  return { ...fallback, memoryBytes: Math.max(fallback.memoryBytes, needed) };
}
