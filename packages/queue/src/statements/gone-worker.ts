import type { Held } from './finish.ts';
import type { Database, Names } from './names.ts';

/**
 * What is remembered, for a day, of workers over HTTP that were given up: which leases were taken back from them. So an end that one of them
 * says again can be told whether it was written before. Those of processes with a PostgreSQL of their own never ask: a host marks them.
 */

/** A part of a statement that notes whose leases are taken back by it. @param lost has `id, lease, worker_id, host`. */
export function noteTaken(names: Names, lost: string): string {
  return `taken_back as (
       insert into ${names.goneWorker} as gone_worker (id, taken)
       select worker_id, array_agg(id || ':' || lease) from ${lost} where host is null group by worker_id
       on conflict (id) do update set taken = gone_worker.taken || excluded.taken
     )`;
}

/** A statement that notes workers whose rows are deleted. @param forgotten has `id, host`. */
export function noteForgotten(names: Names, forgotten: string): string {
  return `insert into ${names.goneWorker} (id) select id from ${forgotten} where host is null on conflict do nothing`;
}

/** Which of these leases were taken back from a worker; null: it is not known any more. */
export async function readTaken(
  db: Database,
  names: Names,
  workerId: string,
  leases: readonly Held[],
): Promise<Set<string> | null> {
  const { rows } = await db.query(
    `select exists (select from ${names.worker} where id = $1) or exists (select from ${names.goneWorker} where id = $1) as known,
       array(select unnest(taken) from ${names.goneWorker} where id = $1 intersect select unnest($2::text[])) as taken`,
    [workerId, leases.map(({ id, lease }) => `${id}:${lease}`)],
  );
  const { known, taken } = rows[0] ?? {};
  if (known !== true) return null;
  return new Set(Array.isArray(taken) ? taken.map((lease) => String(lease).replace(/:.*/, '')) : []);
}

/** Not those whose rows are still there: of them, more leases may be taken back. */
export async function pruneGone(db: Database, names: Names): Promise<void> {
  await db.query(
    `delete from ${names.goneWorker} as gone_worker where at < clock_timestamp() - interval '1 day'
     and not exists (select from ${names.worker} as worker where worker.id = gone_worker.id)`,
  );
}
