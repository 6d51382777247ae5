import type { Claimed } from './statements/claimed.ts';

/** Work of so many seconds is claimed in advance. */
const AHEAD_SECONDS = 0.1;
/** Tasks that take longer are claimed when they can begin: what waits here would start sooner somewhere else. */
const SHORT_SECONDS = 1;
const MOST = 5_000;
/** Share of the newest task in the mean. */
const NEWEST = 0.05;

/**
 * Tasks of one handler that are claimed and have not begun. It holds none until tasks prove to be so short that asking
 * PostgreSQL for each would take longer than doing it; then about a tenth of a second's work.
 */
export class LocalBuffer {
  #concurrency: number;
  readonly #size: 'learned' | 'none';
  #tasks: Claimed[] = [];
  #meanSeconds: number | null = null;

  /** @param size `none`: nothing is ever claimed in advance. */
  constructor(concurrency: number, size: 'learned' | 'none') {
    this.#concurrency = concurrency;
    this.#size = size;
  }

  get size(): number {
    return this.#tasks.length;
  }

  ids(): string[] {
    return this.#tasks.map(({ id }) => id);
  }

  resize(concurrency: number): void {
    this.#concurrency = concurrency;
  }

  /** A task took so long. */
  learned(seconds: number): void {
    this.#meanSeconds =
      this.#meanSeconds === null ? seconds : this.#meanSeconds + NEWEST * (seconds - this.#meanSeconds);
  }

  /** How many more to claim beside those for free slots; nothing until half of it is used up, so that each claim is a large one. */
  wants(): number {
    const target = this.#target();
    return this.#tasks.length <= target / 2 ? target - this.#tasks.length : 0;
  }

  add(task: Claimed): void {
    this.#tasks.push(task);
  }

  take(): Claimed | null {
    return this.#tasks.shift() ?? null;
  }

  /** Empties it. */
  drain(): Claimed[] {
    const tasks = this.#tasks;
    this.#tasks = [];
    return tasks;
  }

  #target(): number {
    if (this.#size === 'none' || this.#meanSeconds === null || this.#meanSeconds > SHORT_SECONDS) return 0;
    return Math.min(MOST, Math.floor((this.#concurrency * AHEAD_SECONDS) / Math.max(this.#meanSeconds, 1e-6)));
  }
}
