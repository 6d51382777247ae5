import { BundleBook } from './bundle-book.ts';
import { describeError, isPassing } from './connection-errors.ts';
import { Finisher, type Settled, type Teller } from './finisher.ts';
import { crashed, type FailedOutcome, isKept, type Outcome } from './outcome.ts';
import { restoringName } from './restore-name.ts';
import { type Bundled, closeBundle, finishBundled, takeBack, takeOut } from './statements/bundle.ts';
import { buryTask, endedBy } from './statements/bury.ts';
import type { Claimed } from './statements/claimed.ts';
import { allDone, type Done, finishTasks, type Held, type Verdict, type Verdicts } from './statements/finish.ts';
import type { Database, Names } from './statements/names.ts';
import { type EndCause, type HistoryEntry, type Release, releaseTask } from './statements/release.ts';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;
const UNWRITABLE_PAUSE_SECONDS = 5;

/**
 * Writes what became of tasks. While PostgreSQL can't be reached it holds the outcomes and tries again; they count if the
 * lease is still ours then.
 */
export class Settler {
  readonly #db: Database;
  readonly #names: Names;
  readonly #onUnwritten: () => void;
  readonly #finisher: Finisher<Done>;
  readonly #bundled: Finisher<Bundled>;
  readonly #leaving: Finisher<Bundled>;
  /** Tasks that leave their bundles, or have left. */
  readonly #left = new WeakMap<Claimed, Promise<Settled>>();
  #bundles = new BundleBook();
  #over = new AbortController();

  /** @param onUnwritten PostgreSQL refuses to write an end, and to give the task back: it is leased, and nobody works on it. */
  constructor(db: Database, names: Names, onUnwritten: () => void = () => undefined) {
    this.#db = db;
    this.#names = names;
    this.#onUnwritten = onUnwritten;
    this.#finisher = new Finisher((held) =>
      this.#untilReachable((certainty) => finishTasks(this.#db, this.#names, held, certainty)),
    );
    this.#bundled = new Finisher((ended) => this.#finishBundled(ended), onUnwritten);
    this.#leaving = new Finisher((leaving) => this.#takeOut(leaving));
  }

  /** Never rejects. What PostgreSQL refuses to write goes back as after a crash: it may be the task's fault, and must not stay leased. */
  async settle(task: Claimed, outcome: Outcome): Promise<Settled> {
    const settled = await this.#tryWrite(task, outcome);
    if (settled.verdict !== 'unknown' || this.#over.signal.aborted) return settled;
    const error = `its end (${outcome.kind}) could not be written: ${settled.error}`;
    const { verdict } = await this.#tryWrite(
      task,
      crashed(task, error, () => UNWRITABLE_PAUSE_SECONDS),
    );
    if (verdict === 'late') return { verdict };
    if (verdict === 'unknown') this.#onUnwritten();
    return { verdict: 'unknown', error };
  }

  /** The same for a task of a bundle that is done. */
  finishBundled({ id, lease, worker }: Claimed, bundle: string, teller: Teller): void {
    this.#bundled.finish({ id, lease, worker, bundle }, teller);
  }

  /** Outcomes that can't be written now are not tried again. */
  giveUp(): void {
    this.#over.abort();
  }

  reopen(): void {
    this.#over = new AbortController();
  }

  /** A bundle was claimed. */
  opened(bundle: string, tasks: number): void {
    this.#bundles.opened(bundle, tasks);
  }

  /** All leases are lost: what is left of bundles is others' now. */
  forgetBundles(): void {
    this.#bundles = new BundleBook();
  }

  /**
   * Makes a task of a bundle a running task of its own; nothing for one that is. Whatever else is written of it comes after this.
   *
   * @throws {Error} when it could not be written.
   */
  async takeOut(task: Claimed): Promise<void> {
    const { id, lease, worker, bundle } = task;
    if (bundle !== null) {
      task.bundle = null;
      this.#left.set(task, through(this.#leaving, { id, lease, worker, bundle }));
    }
    const left = await this.#left.get(task);
    if (left?.verdict === 'unknown') throw new Error(`it could not be taken out of its bundle: ${left.error}`);
  }

  /** Gives back tasks of bundles that were not begun. */
  async takeBack(tasks: readonly Claimed[]): Promise<void> {
    for (const [bundle, members] of Map.groupBy(tasks, (task) => task.bundle)) {
      if (bundle === null) continue;
      const ids = members.map(({ id }) => id);
      await takeBack(this.#db, this.#names, bundle, ids);
      await this.#leave(bundle, ids.length);
    }
  }

  async #finishBundled(ended: Bundled[]): Promise<Verdicts> {
    const numbers = new Map<string, number>();
    for (const { bundle } of ended) numbers.set(bundle, (numbers.get(bundle) ?? 0) + 1);
    const closing = new Set(
      [...numbers].filter(([bundle, tasks]) => tasks === this.#bundles.open(bundle)).map(([id]) => id),
    );
    const verdicts = await this.#untilReachable((certainty) =>
      finishBundled(this.#db, this.#names, ended, [...closing], certainty),
    );
    for (const [bundle, tasks] of numbers) {
      if (closing.has(bundle)) this.#bundles.left(bundle, tasks);
      else await this.#leave(bundle, tasks);
    }
    return this.#finishTakenOut(ended, verdicts);
  }

  /**
   * What is not leased with its bundle any more may still be this worker's: a cancel took it out, and nothing else of the bundle was left, so
   * that it was given back as one that this worker does not know of.
   */
  async #finishTakenOut(ended: readonly Bundled[], verdictOf: Verdicts): Promise<Verdicts> {
    const late = verdictOf === allDone ? [] : ended.filter(({ id }) => verdictOf(id) !== 'done');
    if (late.length === 0) return verdictOf;
    const plain = late.map(({ id, lease, worker }): Done => ({
      id,
      lease,
      worker,
      result: null,
      output: null,
      effects: 'none',
    }));
    const again = await this.#untilReachable((certainty) => finishTasks(this.#db, this.#names, plain, certainty));
    return (id) => (verdictOf(id) === 'done' ? 'done' : again(id));
  }

  async #takeOut(leaving: Bundled[]): Promise<Verdicts> {
    await this.#untilReachable(() => takeOut(this.#db, this.#names, leaving));
    for (const [bundle, { length }] of Map.groupBy(leaving, (task) => task.bundle)) await this.#leave(bundle, length);
    // Whether they were still leased shows when their ends are written.
    return allDone;
  }

  /** So many tasks of a bundle ended, or left it: with the last ones it closes. Never rejects. */
  async #leave(bundle: string, tasks: number): Promise<void> {
    if (!this.#bundles.left(bundle, tasks)) return;
    await this.#untilReachable(() => closeBundle(this.#db, this.#names, bundle)).catch(() => this.#onUnwritten());
  }

  async #tryWrite(task: Claimed, outcome: Outcome): Promise<Settled> {
    try {
      await this.takeOut(task);
      if (outcome.kind === 'done') return await through(this.#finisher, doneOf(task, outcome));
      return { verdict: await this.#write(task, outcome) };
    } catch (error) {
      return { verdict: 'unknown', error: describeError(error) };
    }
  }

  async #write(task: Claimed, outcome: FailedOutcome): Promise<Verdict> {
    switch (outcome.kind) {
      case 'dead': {
        const death = { cause: outcome.cause, entry: entry(task, endedBy[outcome.cause], outcome.error) };
        return this.#untilReachable(() => buryTask(this.#db, this.#names, task, death));
      }
      case 'escalated':
        return this.#release(task, {
          seconds: 0,
          counts: outcome.cause,
          lane: 'fallback',
          history: entry(task, outcome.cause, outcome.error),
        });
      case 'again':
        return this.#release(task, {
          seconds: outcome.seconds,
          counts: outcome.cause,
          lane: task.lane,
          history: entry(task, outcome.cause, outcome.error),
        });
      case 'interrupted':
        return this.#release(task, { seconds: 0, counts: 'interrupted', lane: task.lane, history: null });
      case 'snoozed':
        return this.#release(task, { seconds: outcome.seconds, counts: null, lane: task.lane, history: null });
    }
  }

  #release(task: Claimed, release: Omit<Release, 'name'>): Promise<Verdict> {
    return this.#untilReachable(() =>
      restoringName((name) => releaseTask(this.#db, this.#names, task, { ...release, name })),
    );
  }

  /** An error may hide a success: the connection may have broken after the commit. The next try is told so. */
  async #untilReachable<T>(statement: (certainty: 'first' | 'repeated') => Promise<T>): Promise<T> {
    let certainty: 'first' | 'repeated' = 'first';
    for (let pause = FIRST_RETRY_MS; ; pause = Math.min(pause * 2, LAST_RETRY_MS)) {
      try {
        return await statement(certainty);
      } catch (error) {
        if (!isPassing(error) || this.#over.signal.aborted) throw error;
        certainty = 'repeated';
        await pauseUnlessOver(pause, this.#over.signal);
      }
    }
  }
}

function through<T extends Held>(finisher: Finisher<T>, held: T): Promise<Settled> {
  return new Promise((resolve) => finisher.finish(held, { written: resolve }));
}

function doneOf(task: Claimed, { result, output }: { result: unknown; output: unknown }): Done {
  const kept = isKept(task);
  return {
    id: task.id,
    lease: task.lease,
    worker: task.worker,
    result: kept && result !== undefined ? JSON.stringify(result) : null,
    output: kept && output !== undefined ? JSON.stringify(output) : null,
    effects: kept || task.key !== null ? 'some' : 'none',
  };
}

function entry(task: Claimed, cause: EndCause, message: string): HistoryEntry {
  return { attempt: task.attempts, lane: task.lane, at: new Date().toISOString(), cause, message };
}

function pauseUnlessOver(milliseconds: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      over.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    over.addEventListener('abort', end);
  });
}
