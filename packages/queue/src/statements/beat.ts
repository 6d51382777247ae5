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

/**
 * Says that workers are gone. Their tasks are taken back by the next rescue; their rows stay until no claim of theirs can be
 * under way any more.
 */
export async function markGone(db: Database, names: Names, workerIds: string[]): Promise<void> {
  await db.query(
    `update ${names.worker} set gone_at = clock_timestamp() where id = any($1::uuid[]) and gone_at is null`,
    [workerIds],
  );
}

/** Deletes rows of workers that have been gone for `leaseSeconds`, which no claim outlasts, and hold no task. */
export async function forgetWorkers(db: Database, names: Names, leaseSeconds: number): Promise<void> {
  await db.query(
    `delete from ${names.worker} as worker where gone_at < clock_timestamp() - $1::float8 * interval '1 second'
     and not exists (select from ${names.task} as task where task.worker_id = worker.id and task.state = 'running')`,
    [leaseSeconds],
  );
}

export interface Beat {
  /** `lost`: we were given up, because our heartbeat came too late. */
  lease: 'held' | 'lost';
  /** Which of our tasks were cancelled. */
  cancelled: string[];
  /** Whether there are workers that are gone, whose tasks may be to be taken back. */
  gone: 'some' | 'none';
  /** Other workers on our host, whose processes we can look at. */
  neighbours: { id: string; pid: number; processStart: string }[];
}

/**
 * One statement per heartbeat does everything that needs doing at that interval: says that we live, gives up workers that
 * have not said so for `leaseSeconds`, and asks what there is to know. For `leaseSeconds` after a start of PostgreSQL
 * nobody is given up: the living could not say so while it was down.
 *
 * It reads workers and the tasks named by their ids, and nothing else: while some transaction holds old rows back, a look at
 * "all running tasks" would read every task that ever ran since.
 */
export async function beat(
  db: Database,
  names: Names,
  options: { workerId: string; host: string | null; leaseSeconds: number; running: readonly string[] },
): Promise<Beat> {
  const { rows } = await db.query(
    `with own as (
       update ${names.worker} set heartbeat_at = clock_timestamp() where id = $1 and gone_at is null returning id
     ), silent as (
       update ${names.worker} set gone_at = clock_timestamp()
       where id <> $1 and gone_at is null and heartbeat_at < clock_timestamp() - $3::float8 * interval '1 second'
         and pg_postmaster_start_time() < clock_timestamp() - $3::float8 * interval '1 second'
       returning id
     )
     select exists (select from own) as held,
       exists (select from silent) or exists (select from ${names.worker} where gone_at is not null) as gone,
       (select array_agg(id::text) from ${names.task} where id = any($4::bigint[]) and cancelled) as cancelled,
       (select json_agg(json_build_object('id', id, 'pid', pid, 'processStart', process_start))
        from ${names.worker} where host = $2 and id <> $1 and gone_at is null) as neighbours`,
    [options.workerId, options.host, options.leaseSeconds, options.running],
  );
  const row = rows[0] ?? {};
  return {
    lease: row['held'] === true ? 'held' : 'lost',
    cancelled: Array.isArray(row['cancelled']) ? row['cancelled'].map(String) : [],
    gone: row['gone'] === true ? 'some' : 'none',
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
