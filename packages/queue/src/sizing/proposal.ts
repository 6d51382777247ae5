import type { LaneSizes } from './measure-tasks.ts';

export interface SampleCount {
  finished: number;
  unfinished: number;
  ignored: number;
}

/** Sizes and what they are expected to cost, in money per 1000 tasks. */
export interface PricedSizes {
  sizes: LaneSizes;
  per1000Tasks: number;
  failShare: number;
}

export interface Comparison extends PricedSizes {
  /** What the proposal saves against it, in percent of its cost; negative: the proposal is dearer. */
  savingPercent: number;
}

export interface TypeShare {
  type: string;
  /** Share of all tasks. */
  tasks: number;
  /** Share of this type's tasks that goes to the fallback lane, by count and by run time. */
  fallbackShare: number;
  fallbackTimeShare: number;
}

export interface NotYet {
  verdict: 'not yet';
  samples: SampleCount;
  reason: string;
}

export interface SizeProposal extends PricedSizes {
  /** `one lane`: no split pays; everything runs in `normal`, and `fallback` is only there for what was never seen. */
  verdict: 'split' | 'one lane';
  samples: SampleCount;
  fallbackShare: number;
  fallbackTimeShare: number;
  /** One lane as large as the largest task, with the CPU that is cheapest for it. */
  onePool: Comparison;
  /** Limits at the 95th percentile, fallback as large as the largest task. */
  percentile95: Comparison;
  present: Comparison | null;
  types: TypeShare[];
  /** Null with a single type. */
  perType: PerType | null;
  /** Sentences for an operator. */
  reading: string[];
}

/** What one queue per task type would be. Types with too few tasks keep the shared sizes. */
export interface PerType {
  byType: { type: string; priced: PricedSizes | null }[];
  per1000Tasks: number;
  /** What it saves beyond the shared sizes, in percent of their cost. */
  furtherSavingPercent: number;
}
