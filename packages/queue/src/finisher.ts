import type { Done, Verdict } from './statements/finish.ts';

interface Waiting {
  held: Done;
  resolve: (verdict: Verdict) => void;
  reject: (error: unknown) => void;
}

const BATCH = 500;

/**
 * Collects tasks that are done while a statement is under way, and finishes them together in the next one: alone a task
 * waits for nobody, and under load a statement carries hundreds.
 */
export class Finisher {
  readonly #finish: (held: Done[]) => Promise<Map<string, Verdict>>;
  #waiting: Waiting[] = [];
  #busy: 'yes' | 'no' = 'no';

  /** @param finish Finishes a batch, and tells the verdict by task id. */
  constructor(finish: (held: Done[]) => Promise<Map<string, Verdict>>) {
    this.#finish = finish;
  }

  finish(held: Done): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ held, resolve, reject });
      if (this.#busy === 'no') void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    this.#busy = 'yes';
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        const verdicts = await this.#finish(batch.map(({ held }) => held));
        for (const { held, resolve } of batch) resolve(verdicts.get(held.id) ?? 'late');
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#busy = 'no';
  }
}
