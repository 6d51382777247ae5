import type { Rate } from './rate.ts';
import type { Wanted } from './source.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Database, Names } from './statements/names.ts';
import { type Granted, reserveStarts, returnStarts } from './statements/rate.ts';
import { DueTimer } from './due-timer.ts';

/** Tokens that come faster than this are waited for together, if the burst has room for them. */
const TOGETHER_MS = 10;

/** A {@link Wanted} whose limit a rate may have lowered. */
type Rated = Wanted & { rate: Rate };

/**
 * Lets through as many starts as the rates of kinds allow over all processes. Starts are reserved before the claim; what it did not
 * need is given back after it. A process that dies in between has started less than it might have, never more.
 */
export class RateGate {
  readonly #db: Database;
  readonly #names: Names;
  readonly #timer: DueTimer;
  /** What `admit` reserved. */
  #reserved = new Map<string, { rate: Rate; number: number }>();
  /** Which lane of a kind comes first when there is not enough for both. */
  #turn: 'first' | 'last' = 'first';

  /** @param onLater Called when the next start may be made. */
  constructor(db: Database, names: Names, onLater: () => void) {
    this.#db = db;
    this.#names = names;
    this.#timer = new DueTimer(onLater);
  }

  /** What may be claimed now of what is wanted. `used` must follow. */
  async admit(wanted: readonly Wanted[]): Promise<Wanted[]> {
    const rated = wanted.filter(isRated);
    this.#reserved = new Map();
    if (rated.length === 0) return [...wanted];
    const kinds = new Map<string, Rated>();
    for (const one of rated) kinds.set(one.kind, { ...one, limit: one.limit + (kinds.get(one.kind)?.limit ?? 0) });
    const granted = await reserveStarts(
      this.#db,
      this.#names,
      [...kinds.values()].map(({ kind, rate, limit }) => ({ kind, rate, wanted: limit })),
    );
    for (const grant of granted) this.#note(grant, kinds.get(grant.kind));
    return [...wanted.filter((one) => !isRated(one)), ...this.#divide(rated)];
  }

  /** Gives back what the claim left over. @throws what PostgreSQL throws; the rest is lost then, and comes again with time. */
  async used(claimed: readonly Claimed[]): Promise<void> {
    const unused = [...this.#reserved].flatMap(([kind, { rate, number }]) => {
      const left = number - claimed.filter((task) => task.kind === kind).length;
      return left > 0 ? [{ kind, rate, number: left }] : [];
    });
    this.#reserved = new Map();
    if (unused.length > 0) await returnStarts(this.#db, this.#names, unused);
  }

  stop(): void {
    this.#timer.clear();
  }

  #note({ kind, number, nextInMs }: Granted, wanted: Rated | undefined): void {
    if (wanted === undefined) return;
    const { rate, limit } = wanted;
    if (number > 0) this.#reserved.set(kind, { rate, number });
    if (number >= limit) return;
    const room = (rate.burst * rate.seconds * 1_000) / rate.limit / 2;
    this.#timer.in(Math.max(nextInMs, Math.min(TOGETHER_MS, room)));
  }

  #divide(rated: readonly Rated[]): Rated[] {
    this.#turn = this.#turn === 'first' ? 'last' : 'first';
    const left = new Map([...this.#reserved].map(([kind, { number }]) => [kind, number]));
    const shared = (this.#turn === 'first' ? rated : rated.toReversed()).map((one) => {
      const limit = Math.min(one.limit, left.get(one.kind) ?? 0);
      left.set(one.kind, (left.get(one.kind) ?? 0) - limit);
      return { ...one, limit };
    });
    return shared.filter(({ limit }) => limit > 0);
  }
}

function isRated(wanted: Wanted): wanted is Rated {
  return wanted.rate !== null;
}
