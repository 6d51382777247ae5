import { type LaneSizes, type NotYet, type SizeProposal, sizeText } from '@slipway/queue/sizing';
import { table } from '../table.ts';

/** What the API proposes for a queue. */
export interface SizeAnswer {
  proposal: NotYet | SizeProposal;
  /** Those in force. */
  present: LaneSizes;
  /** The proposal in sentences, or why there is none. */
  lines: string[];
}

/** The proposal beside what it is measured against, then in sentences, then what can be done. */
export function proposalText(queue: string, { proposal, present, lines }: SizeAnswer): string {
  if (proposal.verdict === 'not yet') {
    return `In force: ${bothSizes(present)}.\nNo proposal yet: ${lines.join(' ')}`;
  }
  const { onePool, percentile95 } = proposal;
  const rows = [
    ['proposed', ...sizes(proposal.sizes), price(proposal.per1000Tasks), ''],
    ...(proposal.present === null
      ? []
      : [
          [
            'in force',
            ...sizes(present),
            price(proposal.present.per1000Tasks),
            percent(proposal.present.savingPercent),
          ],
        ]),
    ['one big pool', sizeText(onePool.sizes.normal), '-', price(onePool.per1000Tasks), percent(onePool.savingPercent)],
    [
      '95th percentile',
      ...sizes(percentile95.sizes),
      price(percentile95.per1000Tasks),
      percent(percentile95.savingPercent),
    ],
  ];
  return [
    table(['SIZES', 'NORMAL', 'FALLBACK', '1000 TASKS', 'PROPOSAL SAVES'], rows),
    lines.join('\n'),
    `slipway queue size ${queue} --apply puts the proposed sizes in force: its workers start again with them, each after the tasks it has.`,
  ].join('\n\n');
}

export function appliedText(queue: string, { present }: SizeAnswer): string {
  return `${queue} has new sizes: ${bothSizes(present)}. Its workers start again with them, each after the tasks it has.`;
}

function bothSizes({ normal, fallback }: LaneSizes): string {
  return `normal ${sizeText(normal)}; fallback ${sizeText(fallback)}`;
}

function sizes({ normal, fallback }: LaneSizes): [string, string] {
  return [sizeText(normal), sizeText(fallback)];
}

function price(dollars: number): string {
  return `$${dollars.toPrecision(3)}`;
}

function percent(saving: number): string {
  return `${saving.toFixed(1)} %`;
}
