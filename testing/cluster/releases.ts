/** What has been started, to be undone last-in first-out. A start that fails half way unwinds through the same stack. */
export class Releases {
  readonly #stack: { what: string; release: () => unknown }[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /**
   * @param what For the message when it fails, e.g. `stop etcd`.
   * @throws {Error} after `close`; it is kept for `run` all the same.
   */
  add(what: string, release: () => unknown): void {
    this.#stack.push({ what, release });
    if (this.#closed) throw new Error('stopped while it was starting');
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Lets a start that is under way fail at its next step. */
  close(): void {
    this.#closed = true;
  }

  /**
   * Undoes everything; one that fails does not keep the others. Fine to call twice, also at the same time.
   *
   * @throws {AggregateError} with what could not be undone.
   */
  async run(): Promise<void> {
    this.#running ??= this.#unwind().finally(() => (this.#running = undefined));
    await this.#running;
  }

  async #unwind(): Promise<void> {
    const failures: Error[] = [];
    for (let last = this.#stack.pop(); last !== undefined; last = this.#stack.pop()) {
      try {
        await last.release();
      } catch (error) {
        failures.push(new Error(`could not ${last.what}: ${String(error)}`, { cause: error }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map((failure) => failure.message).join('\n'));
  }
}
