import type { HostProof } from '../host.ts';
import { type Database, type Names } from './names.ts';

/** Enters a worker's row: from now on tasks can be leased to it. */
export async function registerWorker(
  db: Database,
  names: Names,
  workerId: string,
  proof: HostProof | null,
): Promise<void> {
  await db.query(`insert into ${names.worker} (id, host, pid, process_start) values ($1, $2, $3, $4)`, [
    workerId,
    proof?.host ?? null,
    proof?.pid ?? null,
    proof?.processStart ?? null,
  ]);
}

/** Removes workers. Tasks that are still leased to them are taken back by the next rescue. */
export async function removeWorkers(db: Database, names: Names, workerIds: string[]): Promise<void> {
  await db.query(`delete from ${names.worker} where id = any($1::uuid[])`, [workerIds]);
}

export interface Beat {
  /** `lost`: our row was removed, because our heartbeat came too late. */
  lease: 'held' | 'lost';
  /** Ids of our tasks that were cancelled. */
  cancelled: string[];
  /** Whether tasks are leased to workers that are gone. */
  orphans: 'some' | 'none';
  /** Other workers on our host, whose processes we can look at. */
  neighbours: { id: string; pid: number; processStart: string }[];
}

/**
 * One statement per heartbeat does everything that needs doing at that interval: says that we live, removes workers that
 * have not said so for `leaseSeconds`, and asks what there is to know. For `leaseSeconds` after a start of PostgreSQL
 * nobody is removed: the living could not say so while it was down.
 */
export async function beat(
  db: Database,
  names: Names,
  options: { workerId: string; host: string | null; leaseSeconds: number },
): Promise<Beat> {
  const { rows } = await db.query(
    `with own as (
       update ${names.worker} set heartbeat_at = clock_timestamp() where id = $1 returning id
     ), silent as (
       delete from ${names.worker}
       where id <> $1 and heartbeat_at < clock_timestamp() - $3::float8 * interval '1 second'
         and pg_postmaster_start_time() < clock_timestamp() - $3::float8 * interval '1 second'
       returning id
     )
     select exists (select from own) as held,
       exists (select from silent) or exists (
         select from ${names.task} as task where task.state = 'running'
           and not exists (select from ${names.worker} as worker where worker.id = task.worker_id)
       ) as orphans,
       (select array_agg(id::text) from ${names.task} where state = 'running' and worker_id = $1 and cancelled) as cancelled,
       (select json_agg(json_build_object('id', id, 'pid', pid, 'processStart', process_start))
        from ${names.worker} where host = $2 and id <> $1) as neighbours`,
    [options.workerId, options.host, options.leaseSeconds],
  );
  const row = rows[0] ?? {};
  return {
    lease: row['held'] === true ? 'held' : 'lost',
    cancelled: Array.isArray(row['cancelled']) ? row['cancelled'].map(String) : [],
    orphans: row['orphans'] === true ? 'some' : 'none',
    neighbours: neighbours(row['neighbours']),
  };
}

function neighbours(value: unknown): Beat['neighbours'] {
  if (!Array.isArray(value)) return [];
  return value.map((row: Record<string, unknown>) => ({
    id: String(row['id']),
    pid: Number(row['pid']),
    processStart: String(row['processStart']),
  }));
}
