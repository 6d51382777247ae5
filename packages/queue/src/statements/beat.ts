import type { HostProof } from '../host.ts';
import { noteForgotten } from './gone-worker.ts';
import { type Database, type Names } from './names.ts';

/** Enters a worker's row: from now on tasks can be leased to it. */
export async function registerWorker(
  db: Database,
  names: Names,
  worker: { id: string; leaseSeconds: number; proof: HostProof | null; name?: string | null },
): Promise<void> {
  const { id, leaseSeconds, proof, name = null } = worker;
  await db.query(
    `insert into ${names.worker} (id, lease_seconds, host, pid, process_start, name) values ($1, $2, $3, $4, $5, $6)
     on conflict (id) do nothing`, // the answer to an earlier try got lost
    [id, leaseSeconds, proof?.host ?? null, proof?.pid ?? null, proof?.processStart ?? null, name],
  );
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

/**
 * Deletes rows of workers that have been gone for a lease of theirs, which no claim outlasts, and hold no task. Sooner, a claim that
 * is under way still would lease tasks to a row that is not there any more, and nobody would ever take them back.
 *
 * @param ended a worker whose claims have all been answered: its row may go at once.
 */
export async function forgetWorkers(db: Database, names: Names, ended: string | null = null): Promise<void> {
  await db.query(
    `with forgotten as (
       delete from ${names.worker} as worker
       where gone_at is not null and (gone_at < clock_timestamp() - lease_seconds * interval '1 second' or id = $1)
       and not exists (select from ${names.task} as task where task.worker_id = worker.id and task.state = 'running')
       and not exists (select from ${names.bundle} as bundle where bundle.worker_id = worker.id)
       returning id, host
     )
     ${noteForgotten(names, 'forgotten')}`,
    [ended],
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
 * have not said so for a lease of theirs, and asks what there is to know. For that long after a start of PostgreSQL
 * they are not given up: the living could not say so while it was down.
 *
 * It reads workers and the tasks named by their ids, and nothing else: while some transaction holds old rows back, a look at
 * "all running tasks" would read every task that ever ran since.
 */
export async function beat(
  db: Database,
  names: Names,
  options: { workerId: string; host: string | null; running: readonly string[] },
): Promise<Beat> {
  const { rows } = await db.query(
    `with own as (
       update ${names.worker} set heartbeat_at = clock_timestamp() where id = $1 and gone_at is null returning id
     ), silent as (
       update ${names.worker} set gone_at = clock_timestamp()
       where id <> $1 and gone_at is null and greatest(heartbeat_at, pg_postmaster_start_time()) < clock_timestamp() - lease_seconds * interval '1 second'
       returning id
     )
     select exists (select from own) as held,
       exists (select from silent) or exists (select from ${names.worker} where gone_at is not null) as gone,
       (select array_agg(id::text) from ${names.task} where id = any($3::bigint[]) and cancelled) as cancelled,
       (select json_agg(json_build_object('id', id, 'pid', pid, 'processStart', process_start))
        from ${names.worker} where host = $2 and id <> $1 and gone_at is null) as neighbours`,
    [options.workerId, options.host, options.running],
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
