import { nextTime } from './schedule.ts';
import { type DueCron, dueCrons, takeTick } from './statements/cron.ts';
import { insertTasks } from './statements/enqueue.ts';
import type { Lane } from './statements/lane.ts';
import type { Database, Names } from './statements/names.ts';

export interface CronClockOptions {
  db: Database & { transaction<T>(work: (db: Database) => Promise<T>): Promise<T> };
  names: Names;
  /** A task was added. */
  onAdded: (kind: string, lane: Lane) => void;
}

/**
 * Adds the tasks of schedules whose time has come, by PostgreSQL's clock: that of this process is not asked. Every started process does
 * it; the tick is taken and the task is added in one transaction, so that of several only one adds it. Of ticks that were missed while no
 * process ran there is one task, for the latest.
 */
export class CronClock {
  readonly #options: CronClockOptions;

  constructor(options: CronClockOptions) {
    this.#options = options;
  }

  /** @returns Milliseconds until the next tick; null: there is none. */
  async tick(): Promise<number | null> {
    const { db, names } = this.#options;
    const { due, now, nextInMs } = await dueCrons(db, names);
    for (const cron of due) await this.#take(cron, now);
    return due.length > 0 ? this.tick() : nextInMs;
  }

  async #take(cron: DueCron, now: number): Promise<void> {
    const { db, names, onAdded } = this.#options;
    const next = nextTime(cron.schedule, cron.timezone, now);
    const taken = await db.transaction(async (transaction) => {
      if (!(await takeTick(transaction, names, cron, next))) return 'by another' as const;
      const all = { ...cron.all, trace: null, batchId: null, state: 'by-time', notify: 'now' } as const;
      await insertTasks(transaction, names, all, [cron.task]);
      return 'here' as const;
    });
    if (taken === 'here') onAdded(cron.all.kind, cron.all.lane);
  }
}
