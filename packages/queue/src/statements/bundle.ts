import type { Held, Verdict } from './finish.ts';
import type { Database, Names } from './names.ts';
import { tellReady } from './tell.ts';

/**
 * A bundle: many tasks that one row leases to one worker. The task's own row is not touched by the claim; it is deleted when the
 * task is done. Everything else that can happen to a task of a bundle begins with `takeOut`, after which it is a running
 * task like any other.
 *
 * Whoever ends a task of a bundle locks the bundle's row first. So an end and a rescue never both count.
 */
export interface Bundled extends Held {
  bundle: string;
}

/**
 * Deletes tasks that are done, each only while its bundle is still this worker's.
 *
 * @param closing Bundles whose last tasks these are.
 * @param certainty See `finishTasks`.
 */
export async function finishBundled(
  db: Database,
  names: Names,
  workerId: string,
  ended: readonly Bundled[],
  closing: readonly string[],
  certainty: 'first' | 'repeated',
): Promise<Map<string, Verdict>> {
  const ids = ended.map(({ id }) => id);
  const { rows } = await db.query(
    `with held as (
       select id from ${names.bundle} where id = any($3::bigint[]) and worker_id = $4 order by id for update
     ), finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[]) as ended (id, bundle_id)
       where task.id = ended.id and ended.bundle_id in (select id from held)
       returning task.id
     ), closed as (
       delete from ${names.bundle} where id = any($5::bigint[]) and id in (select id from held)
     )
     select count(*)::int as number, case when count(*) < $6 then array_agg(id::text) end as finished from finished`,
    [
      ids,
      ended.map(({ bundle }) => bundle),
      [...new Set(ended.map(({ bundle }) => bundle))],
      workerId,
      closing,
      ids.length,
    ],
  );
  if (rows[0]?.['number'] === ids.length) return new Map(ids.map((id) => [id, 'done']));
  const finished = new Set(texts(rows[0]?.['finished']));
  const there = await db.query(
    `select array_agg(id::text) as "there" from ${names.task} where id = any($1::bigint[])`,
    [ids],
  );
  const left = new Set(texts(there.rows[0]?.['there']));
  return new Map(
    ids.map((id) => [id, finished.has(id) || (certainty === 'repeated' && !left.has(id)) ? 'done' : 'late']),
  );
}

/** Makes tasks of a bundle running tasks of their own, if the bundle is still this worker's. Done twice it changes nothing. */
export async function takeOut(
  db: Database,
  names: Names,
  workerId: string,
  bundle: string,
  ids: readonly string[],
): Promise<void> {
  await db.query(
    `with held as (
       update ${names.bundle} set task_ids = array(select unnest(task_ids) except select unnest($2::bigint[]))
       where id = $1 and worker_id = $3 returning id
     )
     update ${names.task} set state = 'running', worker_id = $3, lease = lease + 1, attempts = attempts + 1
     where id = any($2::bigint[]) and state = 'ready' and exists (select from held)`,
    [bundle, ids, workerId],
  );
}

/** Gives back tasks of a bundle that were not begun: they are in their line again as if nothing had been. */
export async function takeBack(
  db: Database,
  names: Names,
  workerId: string,
  bundle: string,
  ids: readonly string[],
): Promise<void> {
  await db.query(
    `with held as (
       update ${names.bundle} set task_ids = array(select unnest(task_ids) except select unnest($2::bigint[]))
       where id = $1 and worker_id = $3 returning id
     ), freed as (
       select kind, lane, key, priority, position from ${names.task} where id = any($2::bigint[]) and exists (select from held)
     )
     ${tellReady('freed', '$4')}`,
    [bundle, ids, workerId, names.channel],
  );
}

/** Deletes bundles of this worker that name no task any more. */
export async function closeBundles(
  db: Database,
  names: Names,
  workerId: string,
  bundles: readonly string[],
): Promise<void> {
  await db.query(`delete from ${names.bundle} where id = any($1::bigint[]) and worker_id = $2 and task_ids = '{}'`, [
    bundles,
    workerId,
  ]);
}

/**
 * Gives back what is left of the bundles of workers that are gone. Nobody knows which of these tasks had begun, so none is counted as
 * lost; but each counts as begun, and is claimed by itself from now on: if it takes its process down again, it is known.
 *
 * @returns How many tasks went back.
 */
export async function rescueBundles(db: Database, names: Names): Promise<number> {
  const { rows } = await db.query(
    `with gone as (
       delete from ${names.bundle} as bundle using ${names.worker} as worker
       where worker.gone_at is not null and bundle.worker_id = worker.id
       returning bundle.task_ids
     ), returned as (
       update ${names.task} as task set attempts = attempts + 1, lease = lease + 1, history = history || jsonb_build_object(
         'attempt', attempts + 1, 'lane', task.lane, 'at', to_json(clock_timestamp()), 'cause', 'lost', 'message', $2::text)
       where id = any(array(select unnest(task_ids) from gone)) and state = 'ready'
       returning kind, lane, key, priority, position
     )
     select (select count(*) from returned)::int as returned, (${tellReady('returned', '$1')})`,
    [
      names.channel,
      'the process that had claimed it, among many, ended or did not report in time; it may not have begun',
    ],
  );
  return Number(rows[0]?.['returned'] ?? 0);
}

/** Gives back bundles of this worker of whose tasks it knows none: their claim was carried out, and its answer got lost. */
export async function takeBackStrayBundles(
  db: Database,
  names: Names,
  worker: { id: string; known: readonly string[] },
): Promise<void> {
  await db.query(
    `with stray as (
       delete from ${names.bundle} where worker_id = $1 and not task_ids && $2::bigint[] returning task_ids
     ), freed as (
       select kind, lane, key, priority, position from ${names.task}
       where id = any(array(select unnest(task_ids) from stray)) and state = 'ready'
     )
     ${tellReady('freed', '$3')}`,
    [worker.id, worker.known, names.channel],
  );
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
