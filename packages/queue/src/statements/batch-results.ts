import type { Database, Names } from './names.ts';

/** How a member of a batch ended. */
export interface BatchResult {
  taskId: string;
  outcome: 'done' | 'dead' | 'cancelled';
  /** What its handler returned; null when it returned nothing, or did not get done. */
  result: unknown;
}

const PAGE = 500;

/** How the members of a batch ended that have ended, by their ids, read in pages. */
export async function* readBatch(db: Database, names: Names, batchId: string): AsyncGenerator<BatchResult> {
  for (let after = '0'; ;) {
    const { rows } = await db.query(
      `select task_id::text as "taskId", outcome, result from ${names.batchResult}
       where batch_id = $1 and task_id > $2 order by task_id limit ${PAGE}`,
      [batchId, after],
    );
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
    const page = rows as unknown as BatchResult[];
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last.taskId;
  }
}
