import { setTimeout as delay } from 'node:timers/promises';

/**
 * How fast requests go to one API server: a bucket of tokens that fills at `rate`, and `rate` follows how the server does.
 *
 * | seen | rate |
 * | --- | --- |
 * | 429 or 503 | halves, and nothing is sent until Retry-After is over |
 * | latency above 4x of the best lately, and above 500 ms | falls by a tenth |
 * | anything else | grows by 1 per second for each second's worth of requests, up to the most |
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

  /** Resolves when the next request may go. */
  async turn(): Promise<void> {
    this.#fill();
    this.#tokens -= 1;
    const debt = this.#tokens < 0 ? (-this.#tokens / this.#rate) * 1000 : 0;
    const closed = Math.max(0, this.#closedUntil - this.#now());
    if (debt + closed > 0) await this.#wait(Math.max(debt, closed));
  }

  /** @param milliseconds From the request to the head of its answer. */
  answered(milliseconds: number): void {
    // The best of long ago may have been of a better day.
    this.#best = Math.min(milliseconds, this.#best * 1.01);
    if (milliseconds > SLOW_MILLISECONDS && milliseconds > 4 * this.#best) this.#slowTo(this.#rate * 0.9);
    else this.#rate = Math.min(this.#most, this.#rate + 1 / this.#rate);
  }

  /** The server asked to be left alone. */
  overloaded(retryAfterSeconds: number | null): void {
    this.#slowTo(this.#rate / 2);
    this.#closedUntil = Math.max(this.#closedUntil, this.#now() + (retryAfterSeconds ?? 1) * 1000);
  }

  #slowTo(rate: number): void {
    this.#fill();
    this.#rate = Math.max(LEAST_PER_SECOND, rate);
    this.#tokens = Math.min(this.#tokens, this.#rate);
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate);
    this.#filledAt = now;
  }
}

const MOST_PER_SECOND = 200;
const LEAST_PER_SECOND = 2;
const SLOW_MILLISECONDS = 500;
