import { type AttemptSample, bumpedMemory, type LaneSizes, type MeasuredTask, measureTasks } from './measure-tasks.ts';
import { type CostModel, DEFAULT_COST_MODEL, type ExpectedCost, expectedCost, price, weigh } from './cost-model.ts';
import type { Comparison, NotYet, PerType, SampleCount, SizeProposal, TypeShare } from './proposal.ts';
import { type ReadingFacts, readingOf } from './reading.ts';
import { cheapestSplit, onePool, percentileSplit, type SearchRules } from './search-sizes.ts';
import { roundMemory } from './size-grid.ts';

export interface SizingOptions extends Partial<CostModel> {
  /** The sizes in force, to compare with. */
  present?: LaneSizes;
  /** How much larger than measured each task is taken to be. Default 1.15, as the Vertical Pod Autoscaler does. */
  margin?: number;
  /** Share of the tasks that may fail in the fallback lane as well. Default 0: it fits everything that was measured. */
  failureBudget?: number;
  /** How much slower than with all the CPU it can use the mean task may get. Default 1.5. */
  slowdownAllowed?: number;
  /** The largest size that a policy or a machine allows. */
  ceiling?: { cpu: number; memoryBytes: number };
  /** Core counts to choose from, ascending. Default: from 0.25 up to what the tasks can use. */
  cpus?: number[];
  /** Finished tasks below which nothing is proposed. Default 100: five of them then lie above the 95th percentile. */
  minimumTasks?: number;
  /** Only so many of the newest attempts count. Default 5000. */
  newest?: number;
}

/** Unfinished tasks above this share say that the sample does not know the large tasks. */
const UNFINISHED_ALLOWED = 0.2;

/**
 * Proposes the sizes of the two lanes that minimise the expected cost of the measured attempts (oldest first), and says
 * what they save. Never dearer than one big pool, the 95th percentile, or any other point of the grid of measured sizes.
 * With too few samples it proposes nothing and says why.
 */
export function proposeSizes(samples: readonly AttemptSample[], options: SizingOptions = {}): NotYet | SizeProposal {
  const { tasks, ...counts } = measureTasks(samples.slice(-(options.newest ?? 5000)));
  const reason = insufficient(counts, options.minimumTasks ?? 100);
  if (reason !== null) return { verdict: 'not yet', samples: counts, reason };

  const model = modelOf(options);
  const rules = rulesOf(options, model);
  const priced = (sizes: LaneSizes) => expectedCost(tasks, sizes, model, rules.margin);
  const pool = onePool(tasks, rules);
  const best = cheapestSplit(tasks, rules);
  const bestCost = priced(best);
  const poolCost = priced(pool);
  const verdict = bestCost.perTask < poolCost.perTask ? 'split' : 'one lane';
  const sizes = verdict === 'split' ? best : withSpareFallback(pool, options.ceiling);
  const cost = verdict === 'split' ? bestCost : poolCost;
  const against = (other: LaneSizes, margin = rules.margin) =>
    compare(cost, other, expectedCost(tasks, other, model, margin));
  const facts: ReadingFacts = {
    verdict,
    samples: counts,
    sizes,
    fallbackShare: cost.fallbackShare,
    fallbackTimeShare: cost.fallbackTimeShare,
    priceRatio: price(sizes.normal, model) / price(sizes.fallback, model),
    failShare: cost.failShare,
    onePool: against(pool),
    percentile95: against(percentileSplit(tasks, rules)),
    // What is in force is asked for what it costs, without a margin: a proposal must beat the real figure.
    present: options.present ? against(options.present, 1) : null,
    perType: sizePerType(tasks, sizes, cost, rules, options.minimumTasks ?? 100),
  };
  return {
    ...facts,
    per1000Tasks: cost.perTask * 1000,
    types: typeShares(tasks, sizes, rules),
    reading: readingOf(facts),
  };
}

function insufficient({ finished, unfinished }: SampleCount, minimum: number): string | null {
  if (finished < minimum) {
    return `${finished} finished tasks are measured and ${minimum} are needed: a guess from fewer would miss the large ones. Let the queue run on.`;
  }
  if (unfinished <= UNFINISHED_ALLOWED * (finished + unfinished)) return null;
  return (
    `${unfinished} of ${finished + unfinished} tasks ran out of memory or time and were not seen to finish, so the size of the ` +
    'large tasks is unknown. Raise the fallback limits by hand until they finish.'
  );
}

function modelOf(options: SizingOptions): CostModel {
  return {
    prices: options.prices ?? DEFAULT_COST_MODEL.prices,
    utilisation: options.utilisation ?? DEFAULT_COST_MODEL.utilisation,
    coldStart: options.coldStart ?? DEFAULT_COST_MODEL.coldStart,
    oomAt: options.oomAt ?? DEFAULT_COST_MODEL.oomAt,
  };
}

function rulesOf(options: SizingOptions, model: CostModel): SearchRules {
  return {
    model,
    margin: options.margin ?? 1.15,
    failureBudget: options.failureBudget ?? 0,
    slowdownAllowed: options.slowdownAllowed ?? 1.5,
    ceiling: options.ceiling ?? { cpu: Infinity, memoryBytes: Infinity },
    cpus: options.cpus ?? null,
  };
}

/** A fallback lane that never runs costs nothing; one a step larger saves the first task larger than all that were measured. */
function withSpareFallback({ normal }: LaneSizes, ceiling: SizingOptions['ceiling']): LaneSizes {
  const larger = roundMemory(bumpedMemory(normal.memoryBytes));
  const allowed = Math.max(normal.memoryBytes, Math.min(larger, ceiling?.memoryBytes ?? Infinity));
  return { normal, fallback: { ...normal, memoryBytes: allowed } };
}

function compare(proposal: ExpectedCost, sizes: LaneSizes, other: ExpectedCost): Comparison {
  return {
    sizes,
    per1000Tasks: other.perTask * 1000,
    failShare: other.failShare,
    savingPercent: percentLess(proposal.perTask, other.perTask),
  };
}

function percentLess(less: number, than: number): number {
  return than > 0 ? 100 * (1 - less / than) : 0;
}

function typesOf(tasks: readonly MeasuredTask[]): [string, MeasuredTask[]][] {
  return [...Map.groupBy(tasks, ({ type }) => type)].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function typeShares(tasks: readonly MeasuredTask[], sizes: LaneSizes, { model, margin }: SearchRules): TypeShare[] {
  const count = weigh(tasks, () => 1);
  return typesOf(tasks).map(([type, own]) => {
    const { fallbackShare, fallbackTimeShare } = expectedCost(own, sizes, model, margin);
    return { type, tasks: weigh(own, () => 1) / count, fallbackShare, fallbackTimeShare };
  });
}

function sizePerType(
  tasks: readonly MeasuredTask[],
  shared: LaneSizes,
  sharedCost: ExpectedCost,
  rules: SearchRules,
  minimum: number,
): PerType | null {
  const types = typesOf(tasks);
  if (types.length < 2) return null;
  let total = 0;
  const byType = types.map(([type, own]) => {
    const count = weigh(own, () => 1);
    const sharedHere = expectedCost(own, shared, rules.model, rules.margin);
    const sizes = own.length >= minimum ? cheapestSplit(own, rules) : shared;
    const { perTask, failShare } = expectedCost(own, sizes, rules.model, rules.margin);
    // A grid of its own may, by its rounding, lie beside the shared sizes.
    const better = own.length >= minimum && perTask < sharedHere.perTask;
    total += count * (better ? perTask : sharedHere.perTask);
    return { type, priced: better ? { sizes, per1000Tasks: perTask * 1000, failShare } : null };
  });
  const perTask = total / weigh(tasks, () => 1);
  return {
    byType,
    per1000Tasks: perTask * 1000,
    furtherSavingPercent: percentLess(perTask, sharedCost.perTask),
  };
}
