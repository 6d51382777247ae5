import { allDone, type Ended, type Verdicts, verdictsOf } from './finish.ts';
import { bigints, type Database, type Names } from './names.ts';
import { tellReady } from './tell.ts';

/**
 * A bundle: many tasks that one row leases to one worker. The task's own row is not touched by the claim; it is deleted when the
 * task is done. Everything else that can happen to a task of a bundle begins with `takeOut` (or, for a cancel, with the function
 * `cancel_bundled`), after which it is a running task like any other, under the lease it was claimed with.
 *
 * Whoever ends a task of a bundle locks the bundle's row first. So an end and a rescue never both count. A bundle is one worker's for as
 * long as it exists, and its id never comes back; nor does the lease of a task with it. All that may happen is in `lease-machine.ts`.
 */
export interface Bundled extends Ended {
  bundle: string;
}

/**
 * Deletes tasks that are done, each only while its bundle exists and the task is still leased with it.
 *
 * @param closing Bundles whose last tasks these are: they are deleted as well.
 * @param certainty See `finishTasks`.
 */
export async function finishBundled(
  db: Database,
  names: Names,
  ended: readonly Bundled[],
  closing: readonly string[],
  certainty: 'first' | 'repeated',
): Promise<Verdicts> {
  const ids = ended.map(({ id }) => id);
  const bundles = ended.map(({ bundle }) => bundle);
  const leases = ended.map(({ lease }) => lease);
  const open = bigints([...new Set(bundles)]);
  // Nearly always: of a large array of ids PostgreSQL reads the index once from left to right, where it looks for each row of a join anew.
  if (leases.every((lease) => lease === leases[0])) {
    const all = [bigints(ids), leases[0], open, bigints(closing)];
    const { rows } = await db.query(`select ${names.finishBundled}($1, $2, $3, $4) as finished`, all);
    if (rows[0]?.['finished'] === true) return allDone;
  }
  const { rows } = await db.query(
    `with held as (
       select id, worker_id from ${names.bundle} where id = any($4::bigint[]) order by id for update
     ), finished as (
       delete from ${names.task} as task
       using unnest($1::bigint[], $2::bigint[], $3::bigint[]) as ended (id, lease, bundle_id) join held on held.id = ended.bundle_id
       where task.id = ended.id and (
         task.worker_id is null and task.lease = ended.lease - 1
         or task.worker_id = held.worker_id and task.lease = ended.lease -- a cancel took it out
       )
       returning task.id
     ), closed as (
       delete from ${names.bundle} where id = any($5::bigint[]) and id in (select id from held)
     )
     select array_agg(id::text) as finished from finished`,
    [bigints(ids), bigints(leases), bigints(bundles), open, bigints(closing)],
  );
  return verdictsOf(db, names, ended, new Set(texts(rows[0]?.['finished'])), certainty);
}

/** Makes tasks of bundles running tasks of their own, if they are still leased with them. Done twice it changes nothing. */
export async function takeOut(db: Database, names: Names, leaving: readonly Bundled[]): Promise<void> {
  await db.query(
    `with held as (
       select id, worker_id from ${names.bundle} where id = any($4::bigint[]) order by id for update
     ), without as (
       update ${names.bundle} set task_ids = array(select unnest(task_ids) except select unnest($1::bigint[]))
       where id in (select id from held)
     )
     update ${names.task} as task set state = 'running', worker_id = held.worker_id, lease = task.lease + 1, attempts = attempts + 1
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as leaving (id, lease, bundle_id) join held on held.id = leaving.bundle_id
     where task.id = leaving.id and task.worker_id is null and task.lease = leaving.lease - 1`,
    [
      leaving.map(({ id }) => id),
      leaving.map(({ lease }) => lease),
      leaving.map(({ bundle }) => bundle),
      [...new Set(leaving.map(({ bundle }) => bundle))],
    ],
  );
}

/** Gives back tasks of a bundle that were not begun: they are in their line again as if nothing had been, but for the lease. */
export async function takeBack(db: Database, names: Names, bundle: string, ids: readonly string[]): Promise<void> {
  await db.query(
    `with held as (
       select id, task_ids from ${names.bundle} where id = $1 for update
     ), without as (
       update ${names.bundle} set task_ids = array(select unnest(task_ids) except select unnest($2::bigint[])) where id in (select id from held)
     ), freed as (
       ${unbundle(names, 'select unnest(task_ids) from held intersect select unnest($2::bigint[])')}
     )
     ${tellReady('freed', '$3')}`,
    [bundle, ids, names.channel],
  );
}

/**
 * Takes the tasks of these ids from the worker they are leased to with a bundle. Their leases grow by two: by the claim, which wrote
 * nothing, and by this. With less, what that worker still says of them would count for whoever claims them next.
 */
function unbundle(names: Names, ids: string, also = ''): string {
  return `update ${names.task} as task set lease = lease + 2${also}
       where id = any(array(${ids})) and worker_id is null
       returning kind, lane, key, priority, position`;
}

/** Deletes a bundle all of whose tasks have ended or left. What could not be written of one makes it free. */
export async function closeBundle(db: Database, names: Names, bundle: string): Promise<void> {
  await db.query(`delete from ${names.bundle} where id = $1`, [bundle]);
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
       ${unbundle(
         names,
         'select unnest(task_ids) from gone',
         `, attempts = attempts + 1, history = history || jsonb_build_object(
         'attempt', attempts + 1, 'lane', task.lane, 'at', to_json(clock_timestamp()), 'cause', 'lost', 'message', $2::text)`,
       )}
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
       ${unbundle(names, 'select unnest(task_ids) from stray')}
     )
     ${tellReady('freed', '$3')}`,
    [worker.id, worker.known, names.channel],
  );
}

/** A condition that leaves out tasks that are leased with a bundle: their rows say that they are ready, and they are not. */
export function notBundled(names: Names, task: string, ofBundle: string): string {
  return `${task}.id not in (select unnest(bundle.task_ids) from ${names.bundle} as bundle where ${ofBundle})`;
}

/** The state of a task, of whose row it needs `id` and `state`: one that is leased with a bundle runs, whatever its row says. */
export function stateOf(names: Names): string {
  return `case when state = 'ready' and id in (select unnest(task_ids) from ${names.bundle}) then 'running' else state end`;
}

/** A relation of the tasks that are leased with bundles. */
export function bundled(names: Names): string {
  return `(select task.id, task.kind, task.lane from ${names.bundle} as bundle cross join lateral unnest(bundle.task_ids) as member (id)
    join ${names.task} as task on task.id = member.id and task.worker_id is null)`;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
