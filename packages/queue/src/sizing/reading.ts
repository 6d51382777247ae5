import type { LaneSize, LaneSizes } from './measure-tasks.ts';
import type { Comparison, PerType, SampleCount } from './proposal.ts';

export interface ReadingFacts {
  verdict: 'split' | 'one lane';
  samples: SampleCount;
  sizes: LaneSizes;
  fallbackShare: number;
  fallbackTimeShare: number;
  failShare: number;
  /** Price of the normal size / price of the fallback size. */
  priceRatio: number;
  onePool: Comparison;
  percentile95: Comparison;
  present: Comparison | null;
  perType: PerType | null;
}

/** A proposal in sentences: what to set, what goes where, why it pays, what it saves. */
export function readingOf(facts: ReadingFacts): string[] {
  const { samples, onePool, percentile95, present } = facts;
  return [
    `${samples.finished} finished tasks measured` +
      (samples.unfinished > 0
        ? `; ${samples.unfinished} ran out of memory or time and count as larger than their limit.`
        : '.'),
    ...(facts.verdict === 'split' ? splitReading(facts) : [oneLaneReading(facts)]),
    `Against one big pool (${sizeText(onePool.sizes.normal)}): ${saving(onePool)}.`,
    `Against limits at the 95th percentile (${sizeText(percentile95.sizes.normal)}): ${saving(percentile95)}.`,
    ...(present ? [presentReading(present)] : []),
    ...failReading(facts),
    ...perTypeReading(facts.perType),
  ];
}

function splitReading({ sizes, fallbackShare, fallbackTimeShare, priceRatio }: ReadingFacts): string[] {
  const breakEven = 1 - priceRatio;
  const side = fallbackTimeShare < breakEven ? 'below' : 'above';
  const why =
    side === 'below'
      ? 'so it pays even if each of them fails only at its very end'
      : 'but they are ended early or run faster there, so it pays';
  return [
    `Normal ${sizeText(sizes.normal)}, fallback ${sizeText(sizes.fallback)}.`,
    `${percent(fallbackShare)} of the tasks go to fallback; they hold ${percent(fallbackTimeShare)} of the run time. Break-even ` +
      `is at ${percent(breakEven)} (1 - price of normal / price of fallback): this is ${side} it, ${why}.`,
  ];
}

function oneLaneReading({ sizes, percentile95 }: ReadingFacts): string {
  const tried =
    percentile95.savingPercent > 0
      ? ` The usual split at the 95th percentile would cost ${percent(extra(percentile95.savingPercent))} more.`
      : '';
  return `No split is cheaper than one lane: ${sizeText(sizes.normal)} for everything.${tried}`;
}

function presentReading(present: Comparison): string {
  const failing = present.failShare > 0 ? `; ${percent(present.failShare)} of the tasks don't finish under them` : '';
  return `Against the present sizes (normal ${sizeText(present.sizes.normal)}, fallback ${sizeText(present.sizes.fallback)}): ${saving(present)}${failing}.`;
}

function failReading({ failShare }: ReadingFacts): string[] {
  if (failShare === 0) return [];
  return [`${percent(failShare)} of the tasks need more than the fallback lane may have and end in the dead letters.`];
}

function perTypeReading(perType: PerType | null): string[] {
  if (perType === null) return [];
  const own = perType.byType.filter(({ priced }) => priced !== null).map(({ type }) => type);
  if (own.length === 0) return ['Sizes per task type would save nothing more.'];
  return [
    `Sizes of their own for ${own.join(', ')} would save another ${percent(perType.furtherSavingPercent / 100)}.`,
  ];
}

function saving({ savingPercent }: Comparison): string {
  if (Math.abs(savingPercent) < 0.05) return 'the same cost';
  const amount = `${Math.abs(savingPercent).toFixed(1)} %`;
  return savingPercent > 0 ? `${amount} cheaper` : `${amount} dearer`;
}

/** A saving of 20 % seen from the other side: 25 % more. */
function extra(savingPercent: number): number {
  return 1 / (1 - savingPercent / 100) - 1;
}

/** `0.5 CPU, 256 MiB, 20 s`. */
export function sizeText({ cpu, memoryBytes, timeoutSeconds }: LaneSize): string {
  const mib = memoryBytes / 1024 ** 2;
  const memory = mib >= 1024 ? `${Number((mib / 1024).toFixed(2))} GiB` : `${Math.round(mib)} MiB`;
  return `${cpu} CPU, ${memory}, ${timeoutSeconds} s`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}
