import { type Database, type Names } from './names.ts';

export interface Claimed {
  id: string;
  kind: string;
  payload: unknown;
  key: string | null;
  lease: string;
  attempts: number;
  failures: number;
}

/**
 * Leases ready tasks to a worker: of each kind at most `limit`, most urgent and oldest first; of each key only the oldest,
 * and only while none of that key runs. A worker whose row is gone gets nothing.
 *
 * @throws {DatabaseError} 23505 when another claim, invisible to this one, took a task with the same key: claim again.
 */
export async function claimTasks(
  db: Database,
  names: Names,
  workerId: string,
  wanted: { kind: string; limit: number }[],
): Promise<Claimed[]> {
  const { rows } = await db.query(
    `with picked as (
       select candidate.id
       from unnest($2::text[], $3::int[]) as wanted (kind, slots)
       cross join lateral (
         select task.id from ${names.task} as task
         where task.kind = wanted.kind and task.state = 'ready'
           and (task.key is null or (
             not exists (select from ${names.task} as running where running.state = 'running' and running.key = task.key)
             and not exists (select from ${names.task} as older where older.state = 'ready' and older.key = task.key and older.id < task.id)
           ))
         order by task.priority, task.id
         limit wanted.slots
         for update of task skip locked
       ) as candidate
       where exists (select from ${names.worker} where id = $1)
     )
     update ${names.task} as task
     set state = 'running', worker_id = $1, lease = lease + 1, attempts = attempts + 1, waits_as = null
     from picked where task.id = picked.id
     returning task.id, task.kind, task.payload, task.key, task.lease, task.attempts, task.failures, task.priority`,
    [workerId, wanted.map(({ kind }) => kind), wanted.map(({ limit }) => limit)],
  );
  return rows
    .sort((a, b) => Number(a['priority']) - Number(b['priority']) || Number(a['id']) - Number(b['id']))
    .map((row) => ({
      id: String(row['id']),
      kind: String(row['kind']),
      payload: row['payload'],
      key: typeof row['key'] === 'string' ? row['key'] : null,
      lease: String(row['lease']),
      attempts: Number(row['attempts']),
      failures: Number(row['failures']),
    }));
}
