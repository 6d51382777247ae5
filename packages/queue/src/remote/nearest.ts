const MOST = 3;

/** The names that are most like a misspelled one: those that need the fewest letters changed, and not more than a third of them. */
export function nearest(name: string, known: readonly string[]): string[] {
  return known
    .map((other) => ({ other, far: distance(name, other) }))
    .filter(({ other, far }) => far <= Math.max(name.length, other.length) / 3)
    .toSorted((a, b) => a.far - b.far)
    .slice(0, MOST)
    .map(({ other }) => other);
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1];
    for (const [j, other] of b.split('').entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
