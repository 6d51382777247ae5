import { describeError, isPassing } from './connection-errors.ts';
import type { Held, Verdict, Verdicts } from './statements/finish.ts';

/** `unknown`: it could not be written. What PostgreSQL refuses is given back; what nobody tries any more is taken back with the lease. */
export interface Settled {
  verdict: Verdict | 'unknown';
  error?: string;
}

/** Who is told when an end is written. */
export interface Teller {
  written(settled: Settled): void;
}

const BATCH = 5_000;
/** What most tasks get, made once. */
const settledAs = { done: { verdict: 'done' }, late: { verdict: 'late' } } as const;

/**
 * Collects tasks that are done while a statement is under way, and finishes them together in the next one: alone a task
 * waits for nobody, and under load a statement carries hundreds.
 */
export class Finisher<T extends Held> {
  readonly #finish: (held: T[]) => Promise<Verdicts>;
  readonly #onUnwritten: () => void;
  #waiting: T[] = [];
  /** Whom to tell of each. */
  #tellers: Teller[] = [];
  #busy: 'yes' | 'no' = 'no';

  /**
   * @param finish Finishes a batch, and gives what tells the verdict by task id.
   * @param onUnwritten It failed for some, whom nobody tries again.
   */
  constructor(finish: (held: T[]) => Promise<Verdicts>, onUnwritten: () => void = () => undefined) {
    this.#finish = finish;
    this.#onUnwritten = onUnwritten;
  }

  finish(held: T, teller: Teller): void {
    this.#waiting.push(held);
    this.#tellers.push(teller);
    if (this.#busy === 'no') void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#busy = 'yes';
    while (this.#waiting.length > 0) {
      await this.#finishBatch(this.#waiting.splice(0, BATCH), this.#tellers.splice(0, BATCH));
    }
    this.#busy = 'no';
  }

  /** One that PostgreSQL refuses must not take the others along: they are halved until it is alone. */
  async #finishBatch(batch: T[], tellers: Teller[]): Promise<void> {
    let verdictOf: Verdicts;
    try {
      verdictOf = await this.#finish(batch);
    } catch (error) {
      if (isPassing(error) || batch.length === 1) {
        for (const teller of tellers) tell(teller, { verdict: 'unknown', error: describeError(error) });
        this.#onUnwritten();
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await this.#finishBatch(batch.slice(0, half), tellers.slice(0, half));
      await this.#finishBatch(batch.slice(half), tellers.slice(half));
      return;
    }
    for (const [index, { id }] of batch.entries()) tell(tellers[index], settledAs[verdictOf(id)]);
  }
}

/** What a teller throws is its program's fault, and told as such; the others hear of their ends all the same, and once. */
function tell(teller: Teller | undefined, settled: Settled): void {
  try {
    teller?.written(settled);
  } catch (error) {
    void Promise.reject(error);
  }
}
