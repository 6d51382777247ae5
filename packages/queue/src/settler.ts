import type { Pool } from 'pg';
import { describeError, isPassing, sqlState } from './connection-errors.ts';
import { Finisher } from './finisher.ts';
import type { Outcome } from './outcome.ts';
import { buryTask } from './statements/bury.ts';
import type { Claimed } from './statements/claim.ts';
import { finishTasks, type Verdict } from './statements/finish.ts';
import { type Names, UNIQUE_VIOLATION } from './statements/names.ts';
import { type HistoryEntry, type Release, releaseTask } from './statements/release.ts';

/** `unknown`: it could not be written; the task is taken back when the lease has run out. */
export interface Settled {
  verdict: Verdict | 'unknown';
  error?: string;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;

/**
 * Writes what became of tasks. While PostgreSQL can't be reached it holds the outcomes and tries again; they count if the
 * lease is still ours then.
 */
export class Settler {
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #finisher: Finisher;
  #over = new AbortController();

  constructor(pool: Pool, names: Names) {
    this.#pool = pool;
    this.#names = names;
    this.#finisher = new Finisher((held) =>
      this.#untilReachable((certainty) => finishTasks(this.#pool, this.#names, held, certainty)),
    );
  }

  /** Never rejects. */
  async settle(task: Claimed, outcome: Outcome): Promise<Settled> {
    try {
      return { verdict: await this.#write(task, outcome) };
    } catch (error) {
      return { verdict: 'unknown', error: describeError(error) };
    }
  }

  /** Outcomes that can't be written now are not tried again. */
  giveUp(): void {
    this.#over.abort();
  }

  reopen(): void {
    this.#over = new AbortController();
  }

  async #write(task: Claimed, outcome: Outcome): Promise<Verdict> {
    if (outcome.kind === 'done') return this.#finisher.finish(task);
    if (outcome.kind === 'dead') {
      const death = { cause: outcome.cause, entry: entry(task, outcome.error) };
      return this.#untilReachable(() => buryTask(this.#pool, this.#names, task, death));
    }
    return this.#release(task, {
      seconds: outcome.kind === 'interrupted' ? 0 : outcome.seconds,
      counts: outcome.kind === 'retry' ? 'failure' : outcome.kind === 'interrupted' ? 'interruption' : 'nothing',
      history: outcome.kind === 'retry' ? entry(task, outcome.error) : null,
    });
  }

  #release(task: Claimed, release: Omit<Release, 'name'>): Promise<Verdict> {
    return this.#untilReachable(async () => {
      try {
        return await releaseTask(this.#pool, this.#names, task, { ...release, name: 'restore' });
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
        return releaseTask(this.#pool, this.#names, task, { ...release, name: 'drop' });
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

function entry(task: Claimed, message: string): HistoryEntry {
  return { attempt: task.attempts, at: new Date().toISOString(), cause: 'error', message };
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
