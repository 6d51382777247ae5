import { isPassing, sqlState } from './connection-errors.ts';
import { DueTimer } from './due-timer.ts';
import { KeyCursor } from './key-cursor.ts';
import { beginsSweep, LineCursor, type Place } from './line-cursor.ts';
import { RateGate } from './rate-gate.ts';
import type { Wanted } from './source.ts';
import { claimFromKeys, type KeyLook, type KeysClaimed } from './statements/claim-keys.ts';
import { type BundleClaimed, claimBundle, claimFromLines, type LineWanted } from './statements/claim-line.ts';
import type { Claimed } from './statements/claimed.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';

/** PostgreSQL's code for a statement that took too long. */
const QUERY_CANCELED = '57014';
/** A sweep that took so long is not begun again before so many times that long. */
const SWEEP_SHARE = 50;
/** One that took less may be begun at any time. */
const CHEAP_MS = 500;
/** Times of keys that are nearer together than this are waited for together. */
const TOGETHER_MS = 5;

const FEW = 64;
export const SWEEP_SECONDS = 2;
/** Characters of payloads that one bundle should hold at most, and tasks as long as nothing is known of theirs. */
const MOST_CHARACTERS = 16_000_000;
const UNKNOWN = 500;

export interface ClaimerOptions {
  db: Database & { transaction<T>(work: (db: Database) => Promise<T>): Promise<T> };
  names: Names;
  /** A sweep that takes longer is given up. */
  sweepSeconds: number;
  /** There may be something to claim that a claim before left for later. */
  onLater: () => void;
}

/** What is known of the tasks of one kind and lane: those without a key, and those with one. */
interface Line {
  line: LineCursor;
  /** No open bundle of it has a smaller id. */
  bundles: {
    oldest: number;
    /** So many are looked at: few behind one that had to be claimed alone, since there may be many such. */
    most: number;
    /** So many may be expected to hold no more than is good for memory, by what the last one held. */
    fit: number;
  };
  keys: KeyCursor;
  /** Where tasks on their last chance were passed over: the first place of each priority, and keys. */
  passed: { places: Map<number, Place>; keys: Set<string> };
}

/** A place to look at, in which line, and for how many. */
interface Look {
  line: LineCursor;
  wanted: LineWanted;
}

/**
 * Decides where to look for the next tasks, and leases them. Tasks without a key and tasks with one take turns, half and
 * half, when both wait. It asks PostgreSQL only where something may be: see {@link LineCursor} and {@link KeyCursor}.
 */
export class Claimer {
  readonly #options: ClaimerOptions;
  readonly #lines = new Map<string, Line>();
  readonly #gate: RateGate;
  readonly #due: DueTimer;
  #sweepCost = { ms: 0, begun: 0 };
  /** Which come first, when both wait and slots are few. */
  #first: 'line' | 'keys' = 'line';

  constructor(options: ClaimerOptions) {
    this.#options = options;
    this.#gate = new RateGate(options.db, options.names, options.onLater);
    this.#due = new DueTimer(() => this.#keysDue());
  }

  /** @throws what PostgreSQL throws; nothing is claimed then, or it is rescued. */
  async claim(workerId: string, wanted: readonly Wanted[]): Promise<Claimed[]> {
    for (const one of wanted) if (one.lastChance !== 'none') this.#lookAtPassed(one);
    const allowed = await this.#gate.admit(wanted.filter((one) => this.#mayHave(one)));
    const claimed: Claimed[] = [];
    this.#first = this.#first === 'line' ? 'keys' : 'line';
    const share = (limit: number) => (this.#first === 'line' ? Math.floor(limit / 2) : Math.ceil(limit / 2));
    for (const one of allowed) {
      const limit = this.#line(one).line.state === 'nothing' ? one.limit : share(one.limit);
      if (limit > 0) claimed.push(...(await this.#fromKeys(workerId, one, limit)));
    }
    claimed.push(...(await this.#fromLines(workerId, rest(allowed, claimed))));
    // What the tasks without keys left over.
    for (const one of rest(allowed, claimed)) claimed.push(...(await this.#fromKeys(workerId, one, one.limit)));
    await this.#gate.used(claimed).catch(() => undefined); // what can't be given back comes again with time
    return claimed;
  }

  /** @returns whether somebody here wants to know. */
  told(
    news:
      | { what: 'ready'; kind: string; lane: string; priority: number; position: number }
      | { what: 'keyed'; kind: string; lane: string; key: string | null },
  ): boolean {
    const line = this.#lines.get(`${news.kind} ${news.lane}`);
    if (line === undefined) return false;
    if (news.what === 'ready') line.line.told(news);
    else line.keys.told(news.key);
    return true;
  }

  /** A task of this process that had this key ended. */
  freed(key: string): void {
    const worthwhile = [...this.#lines.values()].filter(({ keys }) => keys.freed(key));
    if (worthwhile.length > 0) this.#options.onLater();
  }

  sweepAgain(): void {
    this.#sweepCost.begun = performance.now();
    for (const { line, keys } of this.#lines.values()) {
      line.sweepAgain();
      keys.walkAgain();
    }
  }

  /** Sweeps, unless the last sweep took so long (because an old transaction keeps dead rows) that it is better done seldom. */
  sweepWhenCheap(): void {
    const { ms, begun } = this.#sweepCost;
    if (ms < CHEAP_MS || performance.now() - begun > ms * SWEEP_SHARE) this.sweepAgain();
  }

  stop(): void {
    this.#gate.stop();
    this.#due.clear();
  }

  #line({ kind, lane }: { kind: string; lane: string }): Line {
    const name = `${kind} ${lane}`;
    const line = this.#lines.get(name) ?? {
      line: new LineCursor(),
      bundles: { oldest: 0, most: Infinity, fit: UNKNOWN },
      keys: new KeyCursor(),
      passed: { places: new Map(), keys: new Set() },
    };
    this.#lines.set(name, line);
    return line;
  }

  /** One may have a task on its last chance now that others could not. */
  #lookAtPassed(wanted: Wanted): void {
    const { line, keys, passed } = this.#line(wanted);
    for (const place of passed.places.values()) line.told(place);
    for (const key of passed.keys) keys.told(key);
    passed.places.clear();
    passed.keys.clear();
  }

  #mayHave(wanted: Wanted): boolean {
    const { line, keys } = this.#line(wanted);
    return wanted.limit > 0 && (keys.state === 'maybe' || line.state === 'maybe');
  }

  async #fromLines(workerId: string, wanted: readonly Wanted[]): Promise<Claimed[]> {
    const claimed: Claimed[] = [];
    const singly: Look[] = [];
    for (const one of wanted) {
      const { line, bundles } = this.#line(one);
      const place = line.next();
      if (place === null) continue;
      const { kind, lane } = one;
      const limit = one.manner === 'bundle' ? Math.min(one.limit, bundles.most, bundles.fit) : one.limit;
      const { lastChance = 'one' } = one;
      const look = { line, wanted: { kind, lane, limit, ...place, oldestBundle: bundles.oldest, lastChance } };
      if (one.manner === 'bundle') {
        const { tasks, apart } = await this.#bundle(workerId, look, bundles);
        claimed.push(...tasks);
        if (tasks.length > 0 || apart === null) continue;
        // One that may take its process down is not claimed in advance: others would be lost with it.
        look.wanted.limit = apart === 1 ? Math.min(1, one.now ?? 1) : Math.min(limit, apart);
      }
      if (look.wanted.limit > 0) singly.push(look);
    }
    if (singly.length > 0) claimed.push(...(await this.#singly(workerId, singly)));
    return claimed;
  }

  async #bundle(
    workerId: string,
    { line, wanted }: Look,
    bundles: Line['bundles'],
  ): Promise<Pick<BundleClaimed, 'tasks' | 'apart'>> {
    const got = await this.#looking([{ line, wanted }], (db) =>
      claimBundle(db, this.#options.names, workerId, wanted),
    ).catch((error: unknown) => {
      // They may have become so large that so many of them are more than can be said at once, or in time.
      bundles.fit = Math.max(1, Math.floor(wanted.limit / 10));
      throw error;
    });
    if (got === null) return { tasks: [], apart: null };
    bundles.oldest = got.oldestBundle;
    if (got.tasks.length > 0)
      bundles.fit = Math.max(1, Math.floor((MOST_CHARACTERS * got.tasks.length) / got.characters));
    bundles.most = got.apart === 1 && got.tasks.length === 0 ? FEW : Infinity;
    const { tasks, apart } = got;
    if (tasks.length > 0) line.claimed(wanted, tasks, apart === null ? wanted.limit : tasks.length);
    else if (apart === null) line.claimed(wanted, [], wanted.limit);
    return got;
  }

  async #singly(workerId: string, looks: readonly Look[]): Promise<Claimed[]> {
    const places = looks.map(({ wanted }) => wanted);
    const got = await this.#looking(looks, (db) => claimFromLines(db, this.#options.names, workerId, places));
    if (got === null) return [];
    const { tasks, passed } = got;
    for (const { line, wanted } of looks) line.claimed(wanted, tasks.filter(isOf(wanted)), wanted.limit);
    for (const one of passed) {
      const { places } = this.#line(one).passed;
      const { priority, position } = one;
      places.set(priority, { priority, position: Math.min(position, places.get(priority)?.position ?? position) });
    }
    return tasks;
  }

  /** Null: it began a sweep, which came to no end in its time and was given up; what lies ahead goes on. Notes what a sweep costs. */
  async #looking<T>(looks: readonly Look[], claim: (db: Database) => Promise<T>): Promise<T | null> {
    const sweeps = looks.some(({ wanted }) => beginsSweep(wanted));
    const began = performance.now();
    try {
      return sweeps ? await this.#inTimeOfSweep(claim) : await claim(this.#options.db);
    } catch (error) {
      for (const { line, wanted } of looks) line.failed(wanted);
      if (!sweeps || sqlState(error) !== QUERY_CANCELED) throw error;
      this.#options.onLater();
      return null;
    } finally {
      if (sweeps) this.#sweepCost.ms = performance.now() - began;
    }
  }

  /** While it goes on nothing else is claimed: it gets less time than other statements. */
  #inTimeOfSweep<T>(claim: (db: Database) => Promise<T>): Promise<T> {
    const { db, sweepSeconds } = this.#options;
    return db.transaction(async (transaction) => {
      const most = String(Math.round(sweepSeconds * 1_000));
      await transaction.query("select set_config('statement_timeout', $1, true)", [most]);
      return claim(transaction);
    });
  }

  /** One look at some keys; what they leave to do is done by the next claim, so that heartbeats and other kinds get between. */
  async #fromKeys(workerId: string, wanted: Wanted, limit: number): Promise<Claimed[]> {
    const { keys } = this.#line(wanted);
    const look = keys.next(limit);
    if (look === null) return [];
    const began = performance.now();
    const { tasks, seen, reached, passed } = await this.#claimKeys(workerId, wanted, look, limit).catch(
      (error: unknown) => {
        keys.failed(look);
        throw error;
      },
    );
    for (const key of passed) this.#line(wanted).passed.keys.add(key);
    if (look.what === 'walk') this.#sweepCost.ms += performance.now() - began;
    const laterInMs = keys.looked(look, seen, reached, performance.now());
    if (laterInMs !== null) this.#due.in(Math.max(laterInMs, TOGETHER_MS));
    if (keys.state === 'maybe') this.#options.onLater();
    return tasks;
  }

  async #claimKeys(workerId: string, wanted: Wanted, look: KeyLook, limit: number): Promise<KeysClaimed> {
    const { db, names } = this.#options;
    const claim = (on: Database) => claimFromKeys(on, names, workerId, { ...wanted, limit, look });
    for (;;) {
      try {
        if (wanted.keyRate === null) return await claim(db);
        // What one claim starts counts for the next one: they don't run beside each other.
        return await db.transaction(async (transaction) => {
          const lock = `slipway rate ${names.schema} ${wanted.kind}`;
          await transaction.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [lock]);
          return claim(transaction);
        });
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) {
          if (isPassing(error)) this.sweepAgain();
          throw error;
        }
        // Two claims of one key met, and the other one has it now.
      }
    }
  }

  #keysDue(): void {
    for (const { keys } of this.#lines.values()) {
      const nextInMs = keys.due(performance.now());
      if (nextInMs !== null) this.#due.in(Math.max(nextInMs, TOGETHER_MS));
    }
    this.#options.onLater();
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
