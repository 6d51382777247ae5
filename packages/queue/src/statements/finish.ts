import { endInBatch } from './batch.ts';
import { type Database, type Names } from './names.ts';
import { tellReady, waitingFor } from './tell.ts';

export interface Held {
  id: string;
  lease: string;
}

/** A task that is done, and what is to be kept of it: JSON texts. */
export interface Done extends Held {
  result: string | null;
  output: string | null;
  /** `none`: it has no key, is in no batch, and its result is not kept. */
  effects: 'none' | 'some';
}

/** `done`: the task is finished. `late`: it was taken from this worker before; another attempt decides. */
export type Verdict = 'done' | 'late';

/**
 * Deletes tasks that were done, each only under the lease it was done with; keeps the results of kinds that want it; tells
 * who waits for their keys.
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
  held: readonly Done[],
  certainty: 'first' | 'repeated',
): Promise<Map<string, Verdict>> {
  const ids = held.map(({ id }) => id);
  const { finished, there } = held.every(isPlain)
    ? await deletePlain(db, names, ids, held)
    : await deleteAndTell(db, names, ids, held);
  return new Map(
    ids.map((id) => [id, finished.has(id) || (certainty === 'repeated' && !there.has(id)) ? 'done' : 'late']),
  );
}

/** Nobody waits for its end, and nothing is kept of it. */
function isPlain({ effects }: Done): boolean {
  return effects === 'none';
}

interface Deleted {
  finished: Set<string>;
  /** Tasks that were there before, under whatever lease. */
  there: Set<string>;
}

/** What most tasks need, at half the price. */
async function deletePlain(db: Database, names: Names, ids: string[], held: readonly Done[]): Promise<Deleted> {
  const leases = held.map(({ lease }) => lease);
  const { rows } = await db.query(
    `with finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[]) as held (id, lease)
       where task.id = held.id and task.lease = held.lease
       returning task.id
     )
     select array_agg(id::text) as finished from finished`,
    [ids, leases],
  );
  const finished = new Set(texts(rows[0]?.['finished']));
  if (finished.size === ids.length) return { finished, there: finished };
  const others = await db.query(
    `select array_agg(id::text) as others from ${names.task} where id = any($1::bigint[])`,
    [ids],
  );
  return { finished, there: new Set([...finished, ...texts(others.rows[0]?.['others'])]) };
}

async function deleteAndTell(db: Database, names: Names, ids: string[], held: readonly Done[]): Promise<Deleted> {
  const { rows } = await db.query(
    `with finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as held (id, lease, result, output)
       where task.id = held.id and task.lease = held.lease
       returning task.id, kind, lane, key, attempts, created_at, batch_id, keep_seconds, held.result::json as result, held.output::json as output
     ), kept as (
       insert into ${names.done} (id, kind, lane, key, attempts, result, output, created_at, expires_at)
       select id, kind, lane, key, attempts, result, output, created_at, clock_timestamp() + keep_seconds * interval '1 second'
       from finished where keep_seconds > 0
     ), ${endInBatch(names, 'finished', `'done'`, 'member.result')}, freed as (
       ${waitingFor(names.task, 'select key from finished')}
     ), told as (
       ${tellReady('(table fanned union all table freed)', '$5')}
     )
     select (select array_agg(id::text) from finished) as finished,
       (select array_agg(id::text) from ${names.task} where id = any($1::bigint[])) as "there",
       (select told from told) as told`,
    [
      ids,
      held.map(({ lease }) => lease),
      held.map(({ result }) => result),
      held.map(({ output }) => output),
      names.channel,
    ],
  );
  // Both see the same snapshot, that before the deletion.
  return { finished: new Set(texts(rows[0]?.['finished'])), there: new Set(texts(rows[0]?.['there'])) };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
