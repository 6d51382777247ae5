/** A told interference is shown for so long. */
const SHOWN_MILLISECONDS = 600_000;
const MOST = 10;

/** Things an operator should know about one environment. */
export class Notices {
  readonly #now: () => number;
  #told: { text: string; at: number }[] = [];
  #standing: string[] = [];
  #problem: string | null = null;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Something happened once. */
  add(text: string): void {
    this.#told = [...this.#told.filter((one) => one.text !== text), { text, at: this.#now() }].slice(-MOST);
  }

  /** Something is so, until it is said anew. */
  standing(texts: string[]): void {
    this.#standing = texts;
  }

  /** Why the last try failed; null: it did not. */
  problem(text: string | null): void {
    this.#problem = text;
  }

  all(): string[] {
    this.#told = this.#told.filter(({ at }) => this.#now() - at < SHOWN_MILLISECONDS);
    return [
      ...this.#standing,
      ...(this.#problem === null ? [] : [this.#problem]),
      ...this.#told.map(({ text }) => text),
    ];
  }
}
