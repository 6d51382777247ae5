import { describeError } from './connection-errors.ts';
import type { Held, Verdict } from './statements/finish.ts';

/** `unknown`: it could not be written; the task is taken back when the lease has run out. */
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
  #waiting: Waiting<T>[] = [];
  #busy: 'yes' | 'no' = 'no';

  /** @param finish Finishes a batch, and tells the verdict by task id. */
  constructor(finish: (held: T[]) => Promise<Map<string, Verdict>>) {
    this.#finish = finish;
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
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        const verdicts = await this.#finish(batch.map(({ held }) => held));
        for (const { held, resolve } of batch) resolve(settledAs[verdicts.get(held.id) ?? 'late']);
      } catch (error) {
        for (const { resolve } of batch) resolve({ verdict: 'unknown', error: describeError(error) });
      }
    }
    this.#busy = 'no';
  }
}
