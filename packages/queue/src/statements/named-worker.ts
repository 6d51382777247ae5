import { type Claimed, claimedColumns, claimedFrom } from './claimed.ts';
import type { Database, Names } from './names.ts';

/** Workers over HTTP by what those who run them call them; the scope of their token comes first. Rows of tasks are found by the worker's index. */

/** What runs at a worker of this name; after a restart that nobody noticed yet, there may be two of it. */
export async function readHeldBy(db: Database, names: Names, name: string): Promise<Claimed[]> {
  const { rows } = await db.query(
    `select ${claimedColumns} from ${names.task} as task
     where state = 'running' and worker_id = any(array(select id from ${names.worker} where name = $1))`,
    [name],
  );
  return claimedFrom(rows);
}

/** Names of the workers in this scope that have a task. */
export async function readBusy(db: Database, names: Names, scope: string): Promise<string[]> {
  const { rows } = await db.query(
    `select distinct substr(name, length($1) + 1) as name from ${names.worker} as worker where starts_with(name, $1) and exists (
       select from ${names.task} as task where task.worker_id = worker.id and task.state = 'running'
     )`,
    [scope],
  );
  return rows.map(({ name }) => String(name));
}
