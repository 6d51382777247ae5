import { stateOf } from './bundle.ts';
import { claimedColumns, type Claimed, claimedFrom } from './claimed.ts';
import type { TaskState, TaskView as WholeTask } from './inspect.ts';
import type { Database, Names } from './names.ts';

/** What is said about a task to somebody who may only see some kinds. */
export type TaskView = Pick<
  WholeTask,
  | 'id'
  | 'kind'
  | 'lane'
  | 'state'
  | 'key'
  | 'attempts'
  | 'progress'
  | 'result'
  | 'output'
  | 'error'
  | 'history'
  | 'createdAt'
  | 'endedAt'
>;

/**
 * One relation over waiting, running, done and dead tasks of the kinds that begin with `$1`. A task of a bundle waits in its line, as far as its row
 * tells; the bundle says that it runs.
 */
function viewOf(names: Names, condition: string): string {
  const common = `id, kind, lane, key, attempts`;
  return `select ${common},
       ${stateOf(names)} as state,
       progress, null::json as result, null::json as output, null as error, history, created_at as "createdAt", null::timestamptz as "endedAt"
     from ${names.task} as task where starts_with(kind, $1) and ${condition}
     union all
     select ${common}, 'done', null, result, output, null, '[]', created_at, finished_at
     from ${names.done} as task where starts_with(kind, $1) and ${condition}
     union all
     select ${common}, 'dead', null, null, null, error, history, created_at, died_at
     from ${names.dead} as task where starts_with(kind, $1) and ${condition}`;
}

/** @returns null: there is no such task, it is done and nothing of it is kept, or its kind does not begin with `scope`. */
export async function viewTask(db: Database, names: Names, scope: string, id: string): Promise<TaskView | null> {
  const { rows } = await db.query(`${viewOf(names, 'id = $2')} limit 1`, [scope, id]);
  return rows[0] === undefined ? null : taskView(rows[0]);
}

/**
 * Tasks with an id after `after`, by their ids.
 *
 * @param filter.kind null: every one that begins with `scope`.
 */
export async function viewTasks(
  db: Database,
  names: Names,
  scope: string,
  filter: { kind: string | null; state: TaskState | null; after: string; limit: number },
): Promise<TaskView[]> {
  const { rows } = await db.query(
    `select * from (${viewOf(names, 'id > $2 and ($3::text is null or kind = $3)')}) as task
     where $4::text is null or state = $4 order by id limit $5`,
    [scope, filter.after, filter.kind, filter.state, filter.limit],
  );
  return rows.map(taskView);
}

function taskView({ id, ...row }: Record<string, unknown>): TaskView {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
  return { ...row, id: String(id) } as unknown as TaskView;
}

/** Those of these tasks that this worker runs, and that were cancelled. */
export async function readCancelled(
  db: Database,
  names: Names,
  worker: { id: string; scope: string },
  ids: readonly string[],
): Promise<string[]> {
  if (ids.length === 0) return [];
  const { rows } = await db.query(
    `select id::text from ${names.task} as task
     where id = any($1::bigint[]) and state = 'running' and worker_id = $2 and starts_with(kind, $3) and cancelled`,
    [ids, worker.id, worker.scope],
  );
  return rows.map((row) => String(row['id']));
}

/** Those of these tasks that this worker holds, of the kinds that begin with `scope`. */
export async function readHeld(
  db: Database,
  names: Names,
  worker: { id: string; scope: string },
  ids: readonly string[],
): Promise<Claimed[]> {
  const { rows } = await db.query(
    `select ${claimedColumns} from ${names.task} as task
     where id = any($1::bigint[]) and state = 'running' and worker_id = $2 and starts_with(kind, $3)`,
    [ids, worker.id, worker.scope],
  );
  return claimedFrom(rows);
}

/** Whether a task that this worker runs has its payload in the object store under this key. */
export async function holdsPayload(
  db: Database,
  names: Names,
  worker: { id: string; scope: string },
  key: string,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `select from ${names.task} as task where worker_id = $1 and state = 'running' and starts_with(kind, $2) and payload->>'$object' = $3`,
    [worker.id, worker.scope, key],
  );
  return (rowCount ?? 0) > 0;
}

/** Whether tasks can be leased to this worker. */
export async function isAlive(db: Database, names: Names, workerId: string): Promise<boolean> {
  const { rows } = await db.query(
    `select exists (select from ${names.worker} where id = $1 and gone_at is null) as alive`,
    [workerId],
  );
  return rows[0]?.['alive'] === true;
}
