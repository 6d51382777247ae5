import type { DeathCause } from './bury.ts';
import { type Database, type Names } from './names.ts';
import type { Lane } from './lane.ts';
import type { HistoryEntry } from './release.ts';
import { tellReady } from './tell.ts';

/** A task that ended in the dead letters. */
export interface DeadTask {
  id: string;
  kind: string;
  lane: Lane;
  payload: unknown;
  key: string | null;
  cause: DeathCause;
  /** The last error. */
  error: string;
  attempts: number;
  failures: number;
  interruptions: number;
  losses: number;
  crashes: number;
  ooms: number;
  timeouts: number;
  /** How its attempts failed or were lost, oldest first, the last 20. */
  history: HistoryEntry[];
  createdAt: Date;
  diedAt: Date;
}

/** Dead tasks, the newest first. */
export async function listDead(
  db: Database,
  names: Names,
  filter: { kind: string | null; limit: number },
): Promise<DeadTask[]> {
  const { rows } = await db.query(
    `select id::text, kind, lane, payload, key, cause, error, attempts, failures, interruptions, losses, crashes, ooms, timeouts, history,
       created_at as "createdAt", died_at as "diedAt"
     from ${names.dead} where $1::text is null or kind = $1
     order by died_at desc, id desc limit $2`,
    [filter.kind, filter.limit],
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
  return rows as unknown as DeadTask[];
}

/** Which dead tasks: one, or the oldest of those that match. */
export type Dead = { id: string } | { kind: string | null; cause: DeathCause | null; limit: number };

/**
 * Makes dead tasks ready again with all their retries, in the lane they died in; their history stays. They count no more in the
 * batch they were added with, which has gone on without them; one that closes a batch finds the results again.
 *
 * @returns How many.
 */
export async function redriveTasks(db: Database, names: Names, which: Dead): Promise<number> {
  const found =
    'id' in which
      ? 'select $2::bigint'
      : `select id from ${names.dead} where ($2::text is null or kind = $2) and ($3::text is null or cause = $3)
         order by died_at, id limit $4 for update skip locked`;
  const { rows } = await db.query(
    `with risen as (
       delete from ${names.dead} where id = any(array(${found})) returning *
     ), added as (
       insert into ${names.task} (id, kind, lane, payload, state, run_at, priority, key, unique_name, lease, attempts, interruptions,
         losses_allowed, keep_seconds, batch_id, trace, history, created_at)
       overriding system value
       select id, kind, lane, payload, 'ready', clock_timestamp(), priority, key, unique_name, lease + 1, attempts, interruptions,
         losses_allowed, keep_seconds,
         (select batch.id from ${names.batch} as batch where batch.id = risen.batch_id and batch.fan_in = risen.id),
         trace, history, created_at
       from risen
       returning kind, lane, key, priority, position
     )
     select (select count(*) from added) as added, (${tellReady('added', '$1')})`,
    'id' in which ? [names.channel, which.id] : [names.channel, which.kind, which.cause, which.limit],
  );
  return Number(rows[0]?.['added']);
}

/** The same for one. False: there is no such dead task. */
export async function redriveTask(db: Database, names: Names, taskId: string): Promise<boolean> {
  return (await redriveTasks(db, names, { id: taskId })) > 0;
}
