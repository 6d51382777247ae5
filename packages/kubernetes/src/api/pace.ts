import { setTimeout as delay } from 'node:timers/promises';

/**
 * How fast requests go to one API server: a bucket of tokens that fills at `rate`, and `rate` follows how the server does. Who waits is in one line,
 * so a change of the rate is felt by everybody in it.
 *
 * | seen | rate |
 * | --- | --- |
 * | 429 or 503 | halves, and nothing is sent until Retry-After is over |
 * | latency above 4x of the best lately, and above 500 ms | falls by a fifth |
 * | anything else | grows by 10 per second for each second's worth of requests, up to the most |
 *
 * What was sent before it fell says nothing about the rate since: a hundred slow answers to one burst are one reason to slow down, not a hundred.
 *
 * The API server's own priority and fairness decides between clients; this keeps one client from filling its queues.
 */
export class Pace {
  readonly #most: number;
  readonly #now: () => number;
  readonly #wait: (milliseconds: number) => Promise<void>;
  #rate: number;
  #tokens: number;
  #filledAt: number;
  #closedUntil = 0;
  #best = Number.POSITIVE_INFINITY;
  #slowedAt = Number.NEGATIVE_INFINITY;
  #line: Promise<void> = Promise.resolve();

  /** @param options.perSecond Most requests in a second, on average. */
  constructor(
    options: { perSecond?: number; now?: () => number; wait?: (milliseconds: number) => Promise<void> } = {},
  ) {
    this.#most = options.perSecond ?? MOST_PER_SECOND;
    this.#now = options.now ?? (() => performance.now());
    this.#wait = options.wait ?? ((milliseconds) => delay(milliseconds));
    this.#rate = this.#most;
    this.#tokens = this.#most;
    this.#filledAt = this.#now();
  }

  /** Requests a second that are allowed now. */
  get rate(): number {
    return this.#rate;
  }

  /** Resolves when the next request may go; first come, first served. */
  async turn(): Promise<void> {
    this.#line = this.#line.then(async () => await this.#next());
    await this.#line;
  }

  async #next(): Promise<void> {
    for (;;) {
      this.#fill();
      const missing = ((1 - this.#tokens) / this.#rate) * 1000;
      const closed = this.#closedUntil - this.#now();
      // Less than a timer can measure is nothing.
      if (missing < 1 && closed <= 0) break;
      await this.#wait(Math.max(missing, closed));
    }
    this.#tokens -= 1;
  }

  /** @param milliseconds From the request to the head of its answer. */
  answered(milliseconds: number): void {
    // The best of long ago may have been of a better day.
    this.#best = Math.min(milliseconds, this.#best * 1.01);
    const slow = milliseconds > SLOW_MILLISECONDS && milliseconds > 4 * this.#best;
    if (!slow) this.#rate = Math.min(this.#most, this.#rate + GROWTH_PER_SECOND / this.#rate);
    else if (this.#now() - milliseconds >= this.#slowedAt) this.#slowTo(this.#rate * 0.8);
  }

  /** The server asked to be left alone. */
  overloaded(retryAfterSeconds: number | null): void {
    if (this.#closedUntil <= this.#now()) this.#slowTo(this.#rate / 2);
    this.#closedUntil = Math.max(this.#closedUntil, this.#now() + (retryAfterSeconds ?? 1) * 1000);
  }

  #slowTo(rate: number): void {
    this.#fill();
    this.#rate = Math.max(LEAST_PER_SECOND, rate);
    this.#tokens = Math.min(this.#tokens, this.#rate);
    this.#slowedAt = this.#now();
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate);
    this.#filledAt = now;
  }
}

const MOST_PER_SECOND = 200;
const LEAST_PER_SECOND = 2;
const GROWTH_PER_SECOND = 10;
const SLOW_MILLISECONDS = 500;
