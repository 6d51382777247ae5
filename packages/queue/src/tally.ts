import type { Outcome } from './outcome.ts';
import { endedBy } from './statements/bury.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Lane } from './statements/lane.ts';
import type { Database, Names } from './statements/names.ts';
import { addToTally, type Tallied, type TallyCounts } from './statements/tally.ts';

const EVERY_MS = 2_000;

type Counts = Partial<TallyCounts> & { kind: string; lane: Lane };

/**
 * Counts what happens in this process, and adds it to what all processes counted every two seconds in which there was something. What a
 * process counted in its last two seconds dies with it when it is killed: the counts are for rates, not for books.
 */
export class Tally {
  readonly #db: Database;
  readonly #names: Names;
  #counts = new Map<string, Counts>();
  #last: Counts | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Database, names: Names) {
    this.#db = db;
    this.#names = names;
  }

  count(kind: string, lane: Lane, what: Tallied, by = 1): void {
    const counts = this.#countsOf(kind, lane);
    counts[what] = (counts[what] ?? 0) + by;
  }

  /** An attempt ended. */
  ended({ kind, lane, waitedSeconds }: Claimed, outcome: Outcome, busySeconds: number): void {
    const counts = this.#countsOf(kind, lane);
    counts.started = (counts.started ?? 0) + 1;
    counts.busy_seconds = (counts.busy_seconds ?? 0) + busySeconds;
    counts.waited_seconds = (counts.waited_seconds ?? 0) + waitedSeconds;
    for (const what of talliedFor(outcome)) counts[what] = (counts[what] ?? 0) + 1;
  }

  #countsOf(kind: string, lane: Lane): Counts {
    this.#timer ??= setTimeout(() => void this.flush(), EVERY_MS).unref();
    // Mostly it is the same as the last time.
    if (this.#last?.kind === kind && this.#last.lane === lane) return this.#last;
    const name = `${kind} ${lane}`;
    const counts = this.#counts.get(name) ?? { kind, lane };
    this.#counts.set(name, counts);
    this.#last = counts;
    return counts;
  }

  /** Never rejects: without PostgreSQL the counts are kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counts = this.#counts;
    this.#counts = new Map();
    this.#last = null;
    if (counts.size === 0) return;
    await addToTally(this.#db, this.#names, [...counts.values()]).catch(() => {
      for (const { kind, lane, ...numbers } of counts.values()) {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a Partial<TallyCounts>
        for (const [what, by] of Object.entries(numbers)) this.count(kind, lane, what as Tallied, by);
      }
    });
  }
}

/** What the end of an attempt counts as. */
function talliedFor(outcome: Outcome): Tallied[] {
  switch (outcome.kind) {
    case 'done':
    case 'interrupted':
    case 'snoozed':
      return [outcome.kind];
    case 'again':
      return [countersOf[outcome.cause]];
    case 'escalated':
      return [countersOf[outcome.cause], 'escalated'];
    case 'dead':
      return [countersOf[endedBy[outcome.cause]], 'dead'];
  }
}

const countersOf = { error: 'errors', crash: 'crashes', oom: 'ooms', timeout: 'timeouts', lost: 'lost' } as const;
