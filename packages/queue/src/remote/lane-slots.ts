import { type Lane, laneOf } from '../statements/lane.ts';
import type { Database, Names } from '../statements/names.ts';

/** How many tasks of a kind and lane shall run at once. */
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
