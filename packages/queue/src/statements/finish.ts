import { type Database, type Names } from './names.ts';

export interface Held {
  id: string;
  lease: string;
}

/** `done`: the task is finished. `late`: it was taken from this worker before; another attempt decides. */
export type Verdict = 'done' | 'late';

/**
 * Deletes tasks that were done, each only under the lease it was done with, and tells who waits for their keys.
 *
 * Matches `id + lease` and nothing else: with `state = 'running'` beside it the planner may choose the small partial index,
 * whose statistics are always stale, and the statement becomes ten times slower.
 *
 * @param certainty `repeated`: the same statement was sent before and its answer got lost. A task that is not there any
 *   more was then finished by it; on the `first` try it was cancelled, or finished by a later attempt.
 */
export async function finishTasks(
  db: Database,
  names: Names,
  held: Held[],
  certainty: 'first' | 'repeated',
): Promise<Map<string, Verdict>> {
  const ids = held.map(({ id }) => id);
  const { rows } = await db.query(
    `with finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[]) as held (id, lease)
       where task.id = held.id and task.lease = held.lease
       returning task.id, task.key
     ), told as (
       select pg_notify($3, 'ready ' || kind) from (
         select distinct kind from ${names.task}
         where state = 'ready' and key in (select key from finished where key is not null)
       ) as freed
     )
     select (select array_agg(id::text) from finished) as finished,
       (select array_agg(id::text) from ${names.task} where id = any($1::bigint[])) as "there",
       (select count(*) from told) as told`,
    [ids, held.map(({ lease }) => lease), names.channel],
  );
  const finished = new Set(texts(rows[0]?.['finished']));
  const there = new Set(texts(rows[0]?.['there'])); // before the deletion: both see the same snapshot
  return new Map(
    ids.map((id) => [id, finished.has(id) || (certainty === 'repeated' && !there.has(id)) ? 'done' : 'late']),
  );
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
