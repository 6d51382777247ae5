import type { Database } from './statements/names.ts';
import { parseNotification, readyNotification } from './statements/tell.ts';

/** A commit with a notification takes a lock that all of PostgreSQL shares, so a burst of tasks sends few. */
const PAUSE_MS = 20;

/**
 * Decides which enqueues notify: the first of a line with its own statement, those within the next 20 ms together, once, at
 * its end.
 */
export class DebouncedNotifier {
  readonly #db: Database;
  readonly #channel: string;
  /** Lines that were notified within the pause: what they have to be told at its end, by priority. */
  readonly #pauses = new Map<string, Map<number, number>>();

  constructor(db: Database, channel: string) {
    this.#db = db;
    this.#channel = channel;
  }

  /**
   * `now`: notify with the statement that adds the tasks. `later`: call `owe` when they are committed.
   *
   * @param line Kind and lane.
   */
  take(line: string): 'now' | 'later' {
    if (this.#pauses.has(line)) return 'later';
    this.#pause(line);
    return 'now';
  }

  /** Tasks were committed without this notification. One before their commit would be for nothing. */
  owe(notification: string): void {
    const news = parseNotification(notification);
    if (news?.what !== 'ready') return;
    const line = `${news.kind} ${news.lane}`;
    const owed = this.#pauses.get(line);
    if (owed === undefined) return this.#notify(line, [[news.priority, news.position]]);
    owed.set(news.priority, Math.min(owed.get(news.priority) ?? Infinity, news.position));
  }

  #notify(line: string, places: Iterable<[number, number]>): void {
    this.#pause(line);
    const [kind = '', lane = ''] = line.split(' ');
    const notifications = [...places].map(([priority, position]) =>
      readyNotification({ kind, lane, priority, position }),
    );
    // Without it the tasks are found by the next sweep.
    this.#db
      .query('select pg_notify($1, news) from unnest($2::text[]) as news', [this.#channel, notifications])
      .catch(() => undefined);
  }

  #pause(line: string): void {
    this.#pauses.set(line, new Map());
    setTimeout(() => {
      const owed = this.#pauses.get(line);
      this.#pauses.delete(line);
      if (owed !== undefined && owed.size > 0) this.#notify(line, owed);
    }, PAUSE_MS);
  }
}
