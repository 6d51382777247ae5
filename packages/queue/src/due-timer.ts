/** Longer ones ask again in between; setTimeout itself can't count further than 24 days. */
const LONGEST_MS = 3_600_000;

/** One timer for the earliest of the moments it is told. */
export class DueTimer {
  readonly #fire: () => void;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Infinity;

  /** @param fire Called at the earliest moment, or earlier; it tells the next one by `in`. */
  constructor(fire: () => void) {
    this.#fire = fire;
  }

  in(milliseconds: number): void {
    const at = performance.now() + milliseconds;
    if (at >= this.#dueAt) return;
    this.clear();
    this.#dueAt = at;
    this.#timer = setTimeout(
      () => {
        this.clear();
        this.#fire();
      },
      Math.min(milliseconds, LONGEST_MS),
    );
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#dueAt = Infinity;
  }
}
