import type { Pool } from 'pg';
import { readBacklog } from './read-backlog.ts';
import type { Backlog } from './statements/backlog.ts';
import { type BatchResult, readBatch } from './statements/batch-results.ts';
import type { DeathCause } from './statements/bury.ts';
import { cancelTask } from './statements/cancel.ts';
import { countTasks, type KindCounts } from './statements/counts.ts';
import { deleteCron } from './statements/cron.ts';
import { type DeadTask, listDead, redriveTask, redriveTasks } from './statements/dead.ts';
import { listTasks, readTask, type TaskPage, type TaskState, type TaskView } from './statements/inspect.ts';
import type { Names } from './statements/names.ts';

/** What there is to see and to put right about tasks, whoever works on them: each a statement or two, and nothing that runs. */
export class TaskDesk {
  readonly #pool: Pool;
  readonly #names: Names;

  constructor(pool: Pool, names: Names) {
    this.#pool = pool;
    this.#names = names;
  }

  /** Deletes a waiting task; aborts a running one, which is gone when its handler ends. False: there is none with this id. */
  cancel(taskId: string): Promise<boolean> {
    return cancelTask(this.#pool, this.#names, taskId);
  }

  /** Dead tasks, the newest first. */
  dead(filter: { kind?: string; limit: number }): Promise<DeadTask[]> {
    return listDead(this.#pool, this.#names, { kind: filter.kind ?? null, limit: filter.limit });
  }

  /** Makes a dead task ready again with all its retries. False: there is none with this id. */
  redrive(taskId: string): Promise<boolean> {
    return redriveTask(this.#pool, this.#names, taskId);
  }

  /** Makes the oldest dead tasks ready again, of a kind, or that died of a cause. @returns how many. */
  redriveAll(filter: { kind?: string; cause?: DeathCause; limit: number }): Promise<number> {
    const { kind = null, cause = null, limit } = filter;
    return redriveTasks(this.#pool, this.#names, { kind, cause, limit });
  }

  /** What is known of a task; null: nothing (any more). */
  task(taskId: string): Promise<TaskView | null> {
    return readTask(this.#pool, this.#names, taskId);
  }

  /** Tasks in pages, the oldest first; `next` of a page is `after` of the one that follows, null at the end. */
  list(filter: { kind?: string; state?: TaskState; limit: number; after?: string }): Promise<TaskPage> {
    const { kind = null, state = null, limit, after = '0' } = filter;
    return listTasks(this.#pool, this.#names, { kind, state, limit, after });
  }

  /** What waits and runs, by kind and lane, and what is due within `soonSeconds` (default 60): cheap for any number. */
  backlog(filter: { kind?: string; soonSeconds?: number } = {}): Promise<Backlog[]> {
    const { kind = null, soonSeconds = 60 } = filter;
    return readBacklog(this.#pool, this.#names, { kind, soonSeconds });
  }

  /** How many tasks there are, by kind and state: counted one by one, which takes a while for many. */
  counts(): Promise<Record<string, KindCounts>> {
    return countTasks(this.#pool, this.#names);
  }

  /** How the members of a batch ended, by id: all of them, in its closing task. They are kept until that is gone. */
  batchResults(batchId: string): AsyncGenerator<BatchResult> {
    return readBatch(this.#pool, this.#names, batchId);
  }

  /** Ends a schedule; tasks that it added stay. False: there is none of this name. */
  uncron(name: string): Promise<boolean> {
    return deleteCron(this.#pool, this.#names, name);
  }
}
