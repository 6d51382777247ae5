/** Numbers by key; keys of `figures` are listed in the design, section 6. */
export interface Measured {
  figures: Record<string, number>;
  /** What the figures were held against, in the same run. */
  peers: Record<string, number>;
}

/** What every benchmark file exports as default. It releases all it started before it returns, also when it fails. */
export type Benchmark = () => Promise<Measured>;

/** Something is missing on this machine; the message says what and how to get it. */
export class CannotMeasure extends Error {}

/** The middle value; of an even count the mean of the middle two. @throws {RangeError} when there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError('no values, no median');
  return (lower + upper) / 2;
}

/**
 * Measures several things in turns, so that what else goes on in the machine meets all of them alike.
 *
 * @param subjects What is measured, by name; each call is one measurement.
 * @returns All values of each, in the order of the rounds.
 */
export async function inTurns<Name extends string>(
  rounds: number,
  subjects: Record<Name, () => Promise<number>>,
): Promise<Record<Name, number[]>> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.keys loses the names
  const names = Object.keys(subjects) as Name[];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- filled for every name right here
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of names) {
      const value = await subjects[name]();
      values[name].push(value);
      progress(`round ${round}/${rounds}  ${name}  ${round3(value)}`);
    }
  }
  return values;
}

/** Three significant digits are more than a benchmark can promise. */
export function round3(value: number): number {
  return Number(value.toPrecision(3));
}

/** Tells how far it is, on stderr. */
export function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
