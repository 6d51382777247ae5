import type { Clock } from './clock.ts';

/** When which environment may fall asleep: one timer for the earliest of all, none when there is nothing to wait for. */
export class SleepTimer {
  readonly #clock: Clock;
  readonly #due: (environment: string) => void;
  readonly #times = new Map<string, number>();
  #armedFor = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, due: (environment: string) => void) {
    this.#clock = clock;
    this.#due = due;
  }

  /** `at` in milliseconds since 1970; replaces an earlier time. */
  schedule(environment: string, at: number): void {
    this.#times.set(environment, at);
    this.#arm();
  }

  forget(environment: string): void {
    if (this.#times.delete(environment)) this.#arm();
  }

  stop(): void {
    this.#times.clear();
    this.#arm();
  }

  #arm(): void {
    const earliest = Math.min(...this.#times.values());
    if (earliest === this.#armedFor) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#armedFor = earliest;
    if (earliest === Number.POSITIVE_INFINITY) return;
    this.#cancel = this.#clock.after(Math.max(0, earliest - this.#clock.now()), () => this.#fire());
  }

  #fire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    const due = [...this.#times].filter(([, at]) => at <= now).map(([environment]) => environment);
    for (const environment of due) this.#times.delete(environment);
    for (const environment of due) this.#due(environment);
    this.#arm();
  }
}
