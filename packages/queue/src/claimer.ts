import { isPassing, sqlState } from './connection-errors.ts';
import { LineCursor } from './line-cursor.ts';
import { RateGate } from './rate-gate.ts';
import type { Wanted } from './source.ts';
import { claimFromKeys } from './statements/claim-keys.ts';
import { claimFromLines, type LineWanted } from './statements/claim-line.ts';
import type { Claimed } from './statements/claimed.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';

/** A sweep that took so long is not begun again before so many times that long. */
const SWEEP_SHARE = 50;

export interface ClaimerOptions {
  db: Database & { transaction<T>(work: (db: Database) => Promise<T>): Promise<T> };
  names: Names;
  /** Something can be claimed that a rate held back. */
  onLater: () => void;
}

/** What is known of the tasks of one kind and lane. */
interface Line {
  line: LineCursor;
  /** The key whose turn was last, and how the keys looked since the last news. */
  keys: { after: string; state: 'maybe' | 'nothing' };
}

/**
 * Decides where to look for the next tasks, and leases them. Tasks without a key and tasks with one take turns, half and
 * half, when both wait. It asks PostgreSQL only where something may be: see {@link LineCursor}.
 */
export class Claimer {
  readonly #options: ClaimerOptions;
  readonly #lines = new Map<string, Line>();
  readonly #gate = new RateGate();
  #sweepCost = { ms: 0, begun: 0 };
  /** Which come first, when both wait and slots are few. */
  #first: 'line' | 'keys' = 'line';

  constructor(options: ClaimerOptions) {
    this.#options = options;
  }

  /** @throws what PostgreSQL throws; nothing is claimed then, or it is rescued. */
  async claim(workerId: string, wanted: readonly Wanted[]): Promise<Claimed[]> {
    const allowed = await this.#gate.admit(wanted.filter((one) => this.#mayHave(one)));
    const claimed: Claimed[] = [];
    const both = allowed.filter((one) => this.#line(one).keys.state === 'maybe');
    this.#first = this.#first === 'line' ? 'keys' : 'line';
    const share = (limit: number) => (this.#first === 'line' ? Math.floor(limit / 2) : Math.ceil(limit / 2));
    for (const one of both) {
      const limit = this.#line(one).line.state === 'nothing' ? one.limit : share(one.limit);
      if (limit > 0) claimed.push(...(await this.#fromKeys(workerId, one, limit)));
    }
    claimed.push(...(await this.#fromLines(workerId, rest(allowed, claimed))));
    // What the tasks without keys left over.
    for (const one of rest(both, claimed)) claimed.push(...(await this.#fromKeys(workerId, one, one.limit)));
    this.#gate.used(allowed, claimed);
    return claimed;
  }

  /** @returns whether somebody here wants to know. */
  told(
    news:
      | { what: 'ready'; kind: string; lane: string; priority: number; position: number }
      | { what: 'keyed'; kind: string; lane: string },
  ): boolean {
    const line = this.#lines.get(`${news.kind} ${news.lane}`);
    if (line === undefined) return false;
    if (news.what === 'ready') line.line.told(news);
    else line.keys.state = 'maybe';
    return true;
  }

  /** A task of this process left its key, or went back. */
  freed(): void {
    for (const { keys } of this.#lines.values()) keys.state = 'maybe';
    this.#options.onLater();
  }

  sweepAgain(): void {
    this.#sweepCost = { ms: 0, begun: performance.now() };
    for (const { line, keys } of this.#lines.values()) {
      line.sweepAgain();
      keys.state = 'maybe';
    }
  }

  /** Sweeps, unless the last sweep took so long (because an old transaction keeps dead rows) that it is better done seldom. */
  sweepWhenCheap(): void {
    if (performance.now() - this.#sweepCost.begun > this.#sweepCost.ms * SWEEP_SHARE) this.sweepAgain();
  }

  stop(): void {
    this.#gate.stop();
  }

  #line({ kind, lane }: { kind: string; lane: string }): Line {
    const name = `${kind} ${lane}`;
    const line = this.#lines.get(name) ?? { line: new LineCursor(), keys: { after: '', state: 'maybe' } };
    this.#lines.set(name, line);
    return line;
  }

  #mayHave(wanted: Wanted): boolean {
    const { line, keys } = this.#line(wanted);
    return wanted.limit > 0 && (keys.state === 'maybe' || line.state === 'maybe');
  }

  async #fromLines(workerId: string, wanted: readonly Wanted[]): Promise<Claimed[]> {
    const looks = wanted.flatMap((one) => {
      const { line } = this.#line(one);
      const look = line.next();
      return look === null ? [] : [{ one, line, look }];
    });
    if (looks.length === 0) return [];
    const began = performance.now();
    const claimed = await claimFromLines(
      this.#options.db,
      this.#options.names,
      workerId,
      looks.map(({ one, look }): LineWanted => ({ kind: one.kind, lane: one.lane, limit: one.limit, ...look })),
    );
    this.#sweepCost.ms = Math.max(this.#sweepCost.ms, performance.now() - began);
    for (const { one, line, look } of looks) line.claimed(look, claimed.filter(isOf(one)), one.limit);
    return claimed;
  }

  /** Walks on from the key whose turn was last, at most once around. */
  async #fromKeys(workerId: string, wanted: Wanted, limit: number): Promise<Claimed[]> {
    const { keys } = this.#line(wanted);
    const claimed: Claimed[] = [];
    const start = keys.after;
    let lap: 'first' | 'second' = 'first';
    keys.state = 'nothing'; // news from now on count
    for (;;) {
      const found = await this.#claimKeys(workerId, wanted, keys.after, limit - claimed.length);
      claimed.push(...found.tasks);
      if (found.contended === 'yes') this.#again(keys);
      if (claimed.length >= limit) {
        keys.after = lastKeyOf(found.tasks) ?? '';
        keys.state = 'maybe';
        return claimed;
      }
      const around = found.reached === 'end' || (lap === 'second' && (found.last ?? '') >= start);
      if (!around) {
        keys.after = found.last ?? '';
        continue;
      }
      keys.after = '';
      if (lap === 'second' || start === '') return claimed;
      lap = 'second';
    }
  }

  /** Another claim took what this one had chosen, and may have left more. */
  #again(keys: Line['keys']): void {
    keys.state = 'maybe';
    this.#options.onLater();
  }

  async #claimKeys(workerId: string, wanted: Wanted, after: string, limit: number) {
    const { db, names } = this.#options;
    for (;;) {
      try {
        return await claimFromKeys(db, names, workerId, { ...wanted, after, limit });
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) {
          if (isPassing(error)) this.sweepAgain();
          throw error;
        }
        // Two claims of one key met, and the other one has it now.
      }
    }
  }
}

function isOf({ kind, lane }: { kind: string; lane: string }) {
  return (task: Claimed) => task.kind === kind && task.lane === lane;
}

/** What is still wanted after these were claimed. */
function rest(wanted: readonly Wanted[], claimed: readonly Claimed[]): Wanted[] {
  return wanted
    .map((one) => ({ ...one, limit: one.limit - claimed.filter(isOf(one)).length }))
    .filter(({ limit }) => limit > 0);
}

function lastKeyOf(tasks: readonly Claimed[]): string | null {
  return tasks.reduce<string | null>(
    (last, { key }) => (last === null || (key !== null && key > last) ? key : last),
    null,
  );
}
