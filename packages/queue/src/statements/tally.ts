import { type Lane, laneOf } from './lane.ts';
import type { Database, Names } from './names.ts';

/** What happened, in numbers; the sums in seconds are of attempts that ended. */
export const tallied = [
  'enqueued',
  'started',
  'done',
  'errors',
  'ooms',
  'timeouts',
  'crashes',
  'lost',
  'interrupted',
  'snoozed',
  'escalated',
  'dead',
  'cancelled',
  'busy_seconds',
  'waited_seconds',
] as const;

export type Tallied = (typeof tallied)[number];
export type TallyCounts = Record<Tallied, number>;
export interface TallyRow extends TallyCounts {
  kind: string;
  lane: Lane;
}

/** Adds counts. Rows are taken in one order by all, so that no two calls wait for each other. */
export async function addToTally(
  db: Database,
  names: Names,
  counts: readonly (Partial<TallyCounts> & { kind: string; lane: Lane })[],
): Promise<void> {
  const sorted = counts.toSorted((a, b) => (`${a.kind} ${a.lane}` < `${b.kind} ${b.lane}` ? -1 : 1));
  const parameters = tallied.map((name, index) => `$${index + 3}::float8[]`).join(', ');
  await db.query(
    `insert into ${names.tally} as tally (kind, lane, ${tallied.join(', ')})
     select * from unnest($1::text[], $2::text[], ${parameters})
     on conflict (kind, lane) do update set ${tallied.map((name) => `${name} = tally.${name} + excluded.${name}`).join(', ')}`,
    [
      sorted.map(({ kind }) => kind),
      sorted.map(({ lane }) => lane),
      ...tallied.map((name) => sorted.map((count) => count[name] ?? 0)),
    ],
  );
}

/** All counts since the beginning. */
export async function readTally(db: Database, names: Names): Promise<TallyRow[]> {
  const { rows } = await db.query(`select * from ${names.tally} order by kind, lane`);
  return rows.map((row) => ({
    kind: String(row['kind']),
    lane: laneOf(row['lane']),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one for each name
    ...(Object.fromEntries(tallied.map((name) => [name, Number(row[name])])) as TallyCounts),
  }));
}
