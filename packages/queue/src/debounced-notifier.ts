import type { Pool } from 'pg';

/** A commit with a notification takes a lock that all of PostgreSQL shares, so a burst of tasks sends few. */
const PAUSE_MS = 20;

/**
 * Decides which enqueues notify: the first of a kind with its own statement, those within the next 20 ms together, once, at
 * its end.
 */
export class DebouncedNotifier {
  readonly #pool: Pool;
  readonly #channel: string;
  /** Kinds that were notified within the pause: whether they have to be again. */
  readonly #pauses = new Map<string, 'quiet' | 'owing'>();

  constructor(pool: Pool, channel: string) {
    this.#pool = pool;
    this.#channel = channel;
  }

  /** `now`: notify with the statement that adds the task. `later`: call `owe` when the task is committed. */
  take(kind: string): 'now' | 'later' {
    if (this.#pauses.has(kind)) return 'later';
    this.#pause(kind);
    return 'now';
  }

  /** A task of this kind was committed without a notification. A notification before its commit would be for nothing. */
  owe(kind: string): void {
    if (this.#pauses.has(kind)) this.#pauses.set(kind, 'owing');
    else this.#notify(kind);
  }

  #notify(kind: string): void {
    this.#pause(kind);
    // Without it the task is found by the backstop.
    this.#pool.query('select pg_notify($1, $2)', [this.#channel, `ready ${kind}`]).catch(() => undefined);
  }

  #pause(kind: string): void {
    this.#pauses.set(kind, 'quiet');
    setTimeout(() => {
      const owing = this.#pauses.get(kind) === 'owing';
      this.#pauses.delete(kind);
      if (owing) this.#notify(kind);
    }, PAUSE_MS);
  }
}
