import type { LaneSize } from '../sizing/measure-tasks.ts';
import type { Lane } from '../statements/lane.ts';
import { type Database, namesIn } from '../statements/names.ts';

/** What was decided for one lane of a kind. */
export interface LaneRow {
  kind: string;
  lane: Lane;
  /** Tasks at once, over all processes. */
  slots: number;
  /** null: nothing was decided, the size is the declared one. */
  size: LaneSize | null;
}

/** What was decided for the lanes of these kinds; lanes without a decision are missing. */
export async function readLanes(db: Database, schema: string, kinds: readonly string[]): Promise<LaneRow[]> {
  const { rows } = await db.query(
    `select kind, lane, slots, sizes as size from ${namesIn(schema).lane} where kind = any($1) order by kind, lane desc`,
    [kinds],
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
  return rows as unknown as LaneRow[];
}

/** Decides how many tasks of a lane run at once; those that run it are told. @returns whether that is a change. */
export async function setSlots(
  db: Database,
  schema: string,
  { kind, lane, slots }: Omit<LaneRow, 'size'>,
): Promise<'changed' | 'same'> {
  const names = namesIn(schema);
  const { rows } = await db.query(
    `with changed as (
       insert into ${names.lane} as lane (kind, lane, slots) values ($1, $2, $3)
       on conflict (kind, lane) do update set slots = excluded.slots, updated_at = clock_timestamp()
       where lane.slots <> excluded.slots returning slots
     )
     select pg_notify($4, concat_ws(' ', 'slots', $1::text, $2::text, slots::text)) from changed`,
    [kind, lane, slots, names.channel],
  );
  return rows.length > 0 ? 'changed' : 'same';
}

/** Decides the sizes of the lanes, for the attempts of processes that start from now on; null: the declared ones hold again. */
export async function setSizes(
  db: Database,
  schema: string,
  kind: string,
  sizes: Readonly<Record<Lane, LaneSize>> | null,
): Promise<void> {
  await db.query(
    `insert into ${namesIn(schema).lane} as lane (kind, lane, sizes)
     values ($1, 'normal', $2::json), ($1, 'fallback', $3::json)
     on conflict (kind, lane) do update set sizes = excluded.sizes, updated_at = clock_timestamp()`,
    [kind, sizes && JSON.stringify(sizes.normal), sizes && JSON.stringify(sizes.fallback)],
  );
}
