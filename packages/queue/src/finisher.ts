import { describeError, isPassing } from './connection-errors.ts';
import type { Held, Verdict } from './statements/finish.ts';

/** `unknown`: it could not be written. What PostgreSQL refuses is given back; what nobody tries any more is taken back with the lease. */
export interface Settled {
  verdict: Verdict | 'unknown';
  error?: string;
}

interface Waiting<T> {
  held: T;
  resolve: (settled: Settled) => void;
}

const BATCH = 1_000;
/** What most tasks get, made once. */
const settledAs = { done: { verdict: 'done' }, late: { verdict: 'late' } } as const;

/**
 * Collects tasks that are done while a statement is under way, and finishes them together in the next one: alone a task
 * waits for nobody, and under load a statement carries hundreds.
 */
export class Finisher<T extends Held> {
  readonly #finish: (held: T[]) => Promise<Map<string, Verdict>>;
  readonly #onUnwritten: () => void;
  #waiting: Waiting<T>[] = [];
  #busy: 'yes' | 'no' = 'no';

  /**
   * @param finish Finishes a batch, and tells the verdict by task id.
   * @param onUnwritten It failed for some, whom nobody tries again.
   */
  constructor(finish: (held: T[]) => Promise<Map<string, Verdict>>, onUnwritten: () => void = () => undefined) {
    this.#finish = finish;
    this.#onUnwritten = onUnwritten;
  }

  /** Never rejects. */
  finish(held: T): Promise<Settled> {
    return new Promise((resolve) => {
      this.#waiting.push({ held, resolve });
      if (this.#busy === 'no') void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    this.#busy = 'yes';
    while (this.#waiting.length > 0) await this.#finishBatch(this.#waiting.splice(0, BATCH));
    this.#busy = 'no';
  }

  /** One that PostgreSQL refuses must not take the others along: they are halved until it is alone. */
  async #finishBatch(batch: Waiting<T>[]): Promise<void> {
    try {
      const verdicts = await this.#finish(batch.map(({ held }) => held));
      for (const { held, resolve } of batch) resolve(settledAs[verdicts.get(held.id) ?? 'late']);
    } catch (error) {
      if (isPassing(error) || batch.length === 1) {
        for (const { resolve } of batch) resolve({ verdict: 'unknown', error: describeError(error) });
        this.#onUnwritten();
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await this.#finishBatch(batch.slice(0, half));
      await this.#finishBatch(batch.slice(half));
    }
  }
}
