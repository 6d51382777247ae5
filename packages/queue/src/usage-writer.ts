import type { Outcome } from './outcome.ts';
import type { Settlement } from './running-task.ts';
import { endedBy } from './statements/bury.ts';
import type { Database, Names } from './statements/names.ts';
import { addUsage, type UsageRow } from './statements/usage.ts';

const EVERY_MS = 2_000;
/** While PostgreSQL can't be reached, the oldest are dropped beyond that: they are samples. */
const MOST_WAITING = 5_000;

/** Writes what attempts used, together, at most every two seconds. */
export class UsageWriter {
  readonly #db: Database;
  readonly #names: Names;
  #waiting: UsageRow[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Database, names: Names) {
    this.#db = db;
    this.#names = names;
  }

  /** Notes what an attempt used, if that was measured and says something about the task. */
  note({ task, outcome, usage }: Pick<Settlement, 'task' | 'outcome' | 'usage'>): void {
    const ended = endOf(outcome);
    if (usage === null || ended === null) return;
    this.#waiting.push({ kind: task.kind, taskId: task.id, lane: task.lane, ended, ...usage });
    this.#later();
  }

  /** Never rejects: without PostgreSQL they are kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const used = this.#waiting;
    this.#waiting = [];
    if (used.length === 0) return;
    await addUsage(this.#db, this.#names, used).catch(() => {
      this.#waiting = [...used, ...this.#waiting].slice(-MOST_WAITING);
      this.#later();
    });
  }

  #later(): void {
    this.#timer ??= setTimeout(() => void this.flush(), EVERY_MS).unref();
  }
}

/** null: the end says nothing about what the task needs. */
function endOf(outcome: Outcome): UsageRow['ended'] | null {
  switch (outcome.kind) {
    case 'done':
      return 'done';
    case 'again':
    case 'escalated':
      return outcome.cause;
    case 'snoozed':
    case 'interrupted':
      return null;
    case 'dead':
      return endedBy[outcome.cause];
  }
}
