import { claimedColumns, type Claimed, claimedFrom } from './claimed.ts';
import type { Lane } from './lane.ts';
import { type Database, type Names } from './names.ts';

/** From where in one line (the tasks of a kind and lane that have no key) to claim how many. */
export interface LineWanted {
  kind: string;
  lane: Lane;
  /** The first place to look at, and the last priority. */
  priority: number;
  position: number;
  upToPriority: number;
  limit: number;
}

/**
 * Leases ready tasks without a key to a worker, of each line the most urgent and oldest first. A worker that was given up gets nothing.
 *
 * The start of the look is what keeps this fast for long: what was claimed before it, and is still in the index because
 * somebody's old transaction might want to see it, is not read again.
 */
export async function claimFromLines(
  db: Database,
  names: Names,
  workerId: string,
  wanted: readonly LineWanted[],
): Promise<Claimed[]> {
  const { rows } = await db.query(
    // `= any(array(...))`, not a join: of a join with so many rows as PostgreSQL guesses here, it scans the whole table.
    `update ${names.task} as task
     set state = 'running', worker_id = $1, lease = lease + 1, attempts = attempts + 1, waits_as = null
     where id = any(array(
       select candidate.id
       from unnest($2::text[], $3::text[], $4::int[], $5::bigint[], $6::int[], $7::int[]) as line (kind, lane, priority, position, last, slots)
       cross join lateral (
         select task.id from ${names.task} as task
         where task.kind = line.kind and task.lane = line.lane and task.state = 'ready' and task.key is null
           and (task.priority, task.position) >= (line.priority, line.position) and task.priority <= line.last
         order by task.priority, task.position
         limit line.slots
         for update of task skip locked
       ) as candidate
       where exists (select from ${names.worker} where id = $1 and gone_at is null)
     ))
     returning ${claimedColumns}`,
    [
      workerId,
      wanted.map(({ kind }) => kind),
      wanted.map(({ lane }) => lane),
      wanted.map(({ priority }) => priority),
      wanted.map(({ position }) => position),
      wanted.map(({ upToPriority }) => upToPriority),
      wanted.map(({ limit }) => limit),
    ],
  );
  return claimedFrom(rows);
}
