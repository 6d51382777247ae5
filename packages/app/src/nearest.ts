/**
 * The candidate that was most likely meant by `name`, or null when none is close. Letter case is ignored; the first
 * of equally near candidates wins. Close: at most 40 % of the longer word's letters differ, and never fewer than one.
 *
 * @example nearest('prots', ['port', 'route']) // 'port'
 */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  const wanted = name.toLowerCase();
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const longer = Math.max(wanted.length, candidate.length);
    const allowed = Math.max(1, Math.floor(longer * 0.4));
    // The difference in length is a lower bound: most candidates of a long list end here.
    if (longer > 100 || Math.abs(wanted.length - candidate.length) > Math.min(allowed, bestDistance - 1)) continue;
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance <= allowed && distance < bestDistance && distance < longer) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment distance: insert, delete, replace, or swap two neighbours, each counted once. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let distance = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
