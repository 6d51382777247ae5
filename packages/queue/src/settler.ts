import { BundleBook } from './bundle-book.ts';
import { describeError, isPassing, sqlState } from './connection-errors.ts';
import { Finisher, type Settled } from './finisher.ts';
import type { Outcome } from './outcome.ts';
import { type Bundled, closeBundles, finishBundled, takeBack, takeOut } from './statements/bundle.ts';
import { buryTask } from './statements/bury.ts';
import type { Claimed } from './statements/claimed.ts';
import { type Done, finishTasks, type Verdict } from './statements/finish.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';
import { type EndCause, type HistoryEntry, type Release, releaseTask } from './statements/release.ts';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;

/**
 * Writes what became of tasks. While PostgreSQL can't be reached it holds the outcomes and tries again; they count if the
 * lease is still ours then.
 */
export class Settler {
  readonly #db: Database;
  readonly #names: Names;
  readonly #finisher: Finisher<Done>;
  readonly #bundled: Finisher<Bundled & { worker: string }>;
  #bundles = new BundleBook();
  #over = new AbortController();

  constructor(db: Database, names: Names) {
    this.#db = db;
    this.#names = names;
    this.#finisher = new Finisher((held) =>
      this.#untilReachable((certainty) => finishTasks(this.#db, this.#names, held, certainty)),
    );
    this.#bundled = new Finisher((ended) => this.#finishBundled(ended));
  }

  /** Never rejects. */
  async settle(task: Claimed, outcome: Outcome): Promise<Settled> {
    if (outcome.kind === 'done') {
      const { bundle } = task;
      return bundle === null ? this.#finisher.finish(doneOf(task, outcome)) : this.finishBundled(task, bundle);
    }
    try {
      return { verdict: await this.#write(task, outcome) };
    } catch (error) {
      return { verdict: 'unknown', error: describeError(error) };
    }
  }

  /** The same for a task of a bundle that is done. Never rejects. */
  finishBundled(task: Claimed, bundle: NonNullable<Claimed['bundle']>): Promise<Settled> {
    return this.#bundled.finish({ id: task.id, lease: task.lease, bundle: bundle.id, worker: bundle.worker });
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

  /** Makes a task of a bundle a running task of its own; nothing for one that is. */
  async takeOut(task: Claimed): Promise<void> {
    const { bundle } = task;
    if (bundle === null) return;
    task.bundle = null; // also if it fails: what is said about the task then is late
    await this.#untilReachable(() => takeOut(this.#db, this.#names, bundle.worker, bundle.id, [task.id]));
    if (this.#bundles.left(bundle.id)) await closeBundles(this.#db, this.#names, bundle.worker, [bundle.id]);
  }

  /** Gives back tasks of bundles that were not begun. */
  async takeBack(tasks: readonly Claimed[]): Promise<void> {
    for (const [id, members] of Map.groupBy(tasks, ({ bundle }) => bundle?.id ?? '')) {
      const worker = members[0]?.bundle?.worker;
      if (worker === undefined) continue;
      await takeBack(
        this.#db,
        this.#names,
        worker,
        id,
        members.map((task) => task.id),
      );
      if (members.filter(() => this.#bundles.left(id)).length > 0)
        await closeBundles(this.#db, this.#names, worker, [id]);
    }
  }

  #finishBundled(ended: (Bundled & { worker: string })[]): Promise<Map<string, Verdict>> {
    const closing = ended.filter(({ bundle }) => this.#bundles.left(bundle)).map(({ bundle }) => bundle);
    // One process has one worker at a time; what was done under an earlier one is late.
    const worker = ended.at(-1)?.worker ?? '';
    return this.#untilReachable((certainty) => finishBundled(this.#db, this.#names, worker, ended, closing, certainty));
  }

  async #write(task: Claimed, outcome: Exclude<Outcome, { kind: 'done' }>): Promise<Verdict> {
    await this.takeOut(task);
    switch (outcome.kind) {
      case 'dead': {
        const death = { cause: outcome.cause, entry: entry(task, causeOfDeath(outcome.cause), outcome.error) };
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
    return this.#untilReachable(async () => {
      try {
        return await releaseTask(this.#db, this.#names, task, { ...release, name: 'restore' });
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
        return releaseTask(this.#db, this.#names, task, { ...release, name: 'drop' });
      }
    });
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

/** Results of whole batches are kept for the task that closes them. */
function doneOf(task: Claimed, { result, output }: { result: unknown; output: unknown }): Done {
  const kept = task.keepSeconds > 0 || task.batchId !== null;
  return {
    id: task.id,
    lease: task.lease,
    result: kept && result !== undefined ? JSON.stringify(result) : null,
    output: kept && output !== undefined ? JSON.stringify(output) : null,
    effects: kept || task.key !== null ? 'some' : 'none',
  };
}

function causeOfDeath(cause: Extract<Outcome, { kind: 'dead' }>['cause']): EndCause {
  if (cause === 'crashed') return 'crash';
  if (cause === 'out-of-memory') return 'oom';
  if (cause === 'timed-out') return 'timeout';
  return 'error';
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
