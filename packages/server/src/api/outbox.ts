import type { SSEStreamingApi } from 'hono/streaming';

/** A client that reads more slowly than things happen is let go at this many; it comes again. */
const mostWaiting = 10_000;

/** Runs `work` at this interval. @returns the function that ends it. */
export function every(seconds: number, work: () => void): () => void {
  const timer = setInterval(work, seconds * 1000);
  return () => clearInterval(timer);
}

/** What is to be sent to one client, in order. */
export class Outbox {
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #stream: SSEStreamingApi;
  #overflow: 'yes' | 'no' = 'no';
  #wake: (() => void) | null = null;

  constructor(stream: SSEStreamingApi) {
    this.#stream = stream;
    stream.onAbort(() => this.#wake?.());
  }

  push(send: () => Promise<void>): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#overflow = 'yes';
      // A write that waits for the client ends by this as well.
      this.#stream.abort();
      return;
    }
    this.#waiting.push(send);
    this.#wake?.();
  }

  /** Sends until the client goes away. */
  async run(): Promise<void> {
    while (!this.#stream.aborted && !this.#stream.closed && this.#overflow === 'no') {
      const send = this.#waiting.shift();
      if (send) await send();
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
