import { type Lane, laneOf } from '../statements/lane.ts';
import type { Database, Names } from '../statements/names.ts';

/** How many tasks of a kind and lane shall run at once: over all workers, or in one of them. */
export interface LaneSlots {
  kind: string;
  lane: Lane;
  slots: number;
}

/** What was decided for the kinds that begin with `scope`. */
export async function readSlots(db: Database, names: Names, scope: string): Promise<LaneSlots[]> {
  const { rows } = await db.query(
    `select kind, lane, slots from ${names.lane} where starts_with(kind, $1) order by kind, lane`,
    [scope],
  );
  return rows.map((row) => ({
    kind: String(row['kind']),
    lane: laneOf(row['lane']),
    slots: Number(row['slots']),
  }));
}

/** What a worker holds of a lane: as many slots as it was told last, or runs, if that is more. */
export interface HeldSlots {
  kind: string;
  lane: Lane;
  holds: number;
}

/**
 * The slots that a worker may use from now on, of the lanes that it follows. Those of one lane add up to the lane's number, over all workers
 * that are not given up, or to less while somebody holds what he was told to give back. Lanes that nobody decided about are missing.
 */
export async function shareSlots(
  db: Database,
  names: Names,
  worker: { id: string; scope: string },
  lanes: readonly HeldSlots[],
): Promise<LaneSlots[]> {
  const shares: LaneSlots[] = [];
  for (const { kind, lane, holds } of lanes) {
    if (!kind.startsWith(worker.scope)) continue;
    const { rows } = await db.query(`select ${names.shareLane}($1, $2, $3, $4, $5) as slots`, [
      worker.id,
      kind,
      lane,
      holds,
      names.channel,
    ]);
    const slots = rows[0]?.['slots'];
    if (typeof slots === 'number') shares.push({ kind, lane, slots });
  }
  return shares;
}

/** A worker leaves: the others are told that they may have its slots. */
export async function giveBackSlots(db: Database, names: Names, workerId: string): Promise<void> {
  await db.query(
    `with given as (delete from ${names.laneShare} where worker_id = $1 returning kind, lane, held)
     select pg_notify($2, concat_ws(' ', 'slots', kind, lane, held)) from given where held > 0`,
    [workerId, names.channel],
  );
}
