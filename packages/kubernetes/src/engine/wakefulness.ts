/**
 * Tells when an environment may fall asleep, and whether it is waking.
 *
 * | state | entered | left |
 * | --- | --- | --- |
 * | rested | its plan woke it, or it serves after it was woken | a request wakes it |
 * | waking | a request came while it slept | it serves |
 *
 * Whether it sleeps is in its record, because another process has to know it.
 */
export class Wakefulness {
  readonly #now: () => number;
  #state: 'rested' | 'waking' = 'rested';
  #since: number;
  #lastRequest: number | null = null;
  #open = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  get isWaking(): boolean {
    return this.#state === 'waking';
  }

  /** Milliseconds since 1970; null: none yet. */
  get lastRequestAt(): number | null {
    return this.#lastRequest;
  }

  requestBegan(): void {
    this.#lastRequest = this.#now();
    this.#open += 1;
  }

  /** @returns How many go on. */
  requestEnded(): number {
    this.#lastRequest = this.#now();
    this.#open -= 1;
    return this.#open;
  }

  woken(by: 'plan' | 'request'): void {
    this.#state = by === 'request' ? 'waking' : 'rested';
    this.#since = this.#now();
  }

  serves(): void {
    // The time that it took to wake is none in which nobody asked for anything.
    this.#since = this.#now();
    this.#state = 'rested';
  }

  /** When it has been idle for so long, milliseconds since 1970; null: requests go on. */
  idleAt(seconds: number): number | null {
    return this.#open > 0 ? null : Math.max(this.#lastRequest ?? 0, this.#since) + seconds * 1000;
  }
}
