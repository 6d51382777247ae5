import type { Pool } from 'pg';

/** A commit with a notification takes a lock that all of PostgreSQL shares, so a burst of tasks sends few. */
const PAUSE_MS = 20;

/**
 * Decides which enqueues notify: the first of a kind at once, those within the next 20 ms together once at its end.
 */
export class DebouncedNotifier {
  readonly #pool: Pool;
  readonly #channel: string;
  /** Kinds that were notified within the pause. */
  readonly #pauses = new Map<string, { timer: NodeJS.Timeout; missed: number }>();

  constructor(pool: Pool, channel: string) {
    this.#pool = pool;
    this.#channel = channel;
  }

  /** True: notify with the statement that adds the task. False: it will be done in a moment. */
  take(kind: string): boolean {
    const pause = this.#pauses.get(kind);
    if (pause !== undefined) {
      pause.missed += 1;
      return false;
    }
    this.#pause(kind);
    return true;
  }

  #pause(kind: string): void {
    const timer = setTimeout(() => {
      const missed = this.#pauses.get(kind)?.missed ?? 0;
      this.#pauses.delete(kind);
      if (missed === 0) return;
      this.#pause(kind);
      // Without it the task is found by the backstop.
      this.#pool.query('select pg_notify($1, $2)', [this.#channel, `ready ${kind}`]).catch(() => undefined);
    }, PAUSE_MS);
    this.#pauses.set(kind, { timer, missed: 0 });
  }
}
