import type { Claimed } from './statements/claimed.ts';
import type { Database, Names } from './statements/names.ts';
import { writeProgress } from './statements/progress.ts';

const EVERY_MS = 1_000;

/** Writes how far running tasks are: the last word of each, all together, at most once a second. */
export class ProgressWriter {
  readonly #db: Database;
  readonly #names: Names;
  readonly #news = new Map<string, { lease: string; value: unknown }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Database, names: Names) {
    this.#db = db;
    this.#names = names;
  }

  tell(task: Claimed, value: unknown): void {
    this.#news.set(task.id, { lease: task.lease, value });
    this.#timer ??= setTimeout(() => void this.#write(), EVERY_MS).unref();
  }

  /** The task has ended. */
  forget(taskId: string): void {
    this.#news.delete(taskId);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#news.clear();
  }

  async #write(): Promise<void> {
    const news = [...this.#news].map(([id, { lease, value }]) => ({ id, lease, value }));
    this.#news.clear();
    // It is only told; without PostgreSQL the next word will do.
    if (news.length > 0) await writeProgress(this.#db, this.#names, news).catch(() => undefined);
    this.#timer = this.#news.size > 0 ? setTimeout(() => void this.#write(), EVERY_MS).unref() : undefined;
  }
}
