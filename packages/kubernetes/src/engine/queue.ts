/** Hands on what comes to the one who takes it. */
export class Queue<T> {
  #waiting: T[] = [];
  #state: { kind: 'open' } | { kind: 'ended' } | { kind: 'failed'; error: unknown } = { kind: 'open' };
  #news = Promise.withResolvers<void>();

  push(item: T): void {
    this.#waiting.push(item);
    this.#news.resolve();
  }

  /** What came before is still given. */
  end(): void {
    if (this.#state.kind === 'open') this.#state = { kind: 'ended' };
    this.#news.resolve();
  }

  fail(error: unknown): void {
    if (this.#state.kind === 'open') this.#state = { kind: 'failed', error };
    this.#news.resolve();
  }

  async *take(): AsyncGenerator<T> {
    for (;;) {
      const items = this.#waiting;
      this.#waiting = [];
      yield* items;
      if (items.length > 0) continue;
      if (this.#state.kind === 'ended') return;
      if (this.#state.kind === 'failed') throw this.#state.error;
      await this.#news.promise;
      this.#news = Promise.withResolvers();
    }
  }
}
