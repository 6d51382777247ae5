import { bundled, notBundled } from '../statements/bundle.ts';
import type { Lane } from '../statements/lane.ts';
import { type Database, namesIn } from '../statements/names.ts';
import { tallied, type TallyCounts } from '../statements/tally.ts';

/** What waits and runs in one lane of a kind. */
export interface LaneLoad {
  lane: Lane;
  ready: number;
  /** `most`: there are at least so many ready ones; counting them all would take long. */
  counted: 'all' | 'most';
  scheduled: number;
  /** Tasks that are due within `soonSeconds`. */
  dueSoon: number;
  /** When the next scheduled task is due, in seconds since 1970; null: none is scheduled. */
  nextDueAt: number | null;
  running: number;
  /** For how long the first in line has been ready; null: none is. */
  oldestSeconds: number | null;
  /** What happened since the beginning; the last two seconds may be missing. */
  tally: TallyCounts;
}

export interface QueueLoad {
  /** By PostgreSQL's clock, in seconds since 1970. */
  at: number;
  dead: number;
  lanes: Record<Lane, LaneLoad>;
}

/** Counting stops here: what matters about more is that it is much. */
const MOST = 20_000;

/** What there is to do for a kind, in one statement that costs the same however long the line is. */
export async function readSignals(db: Database, schema: string, kind: string, soonSeconds = 2): Promise<QueueLoad> {
  const names = namesIn(schema);
  const free = notBundled(names, 'task', 'bundle.kind = $1');
  const oldest = (keyed: 'is null' | 'is not null') =>
    `(select extract(epoch from clock_timestamp() - greatest(created_at, run_at)) from ${names.task} as task
      where task.kind = $1 and task.lane = one.lane and state = 'ready' and key ${keyed} and ${free} order by ${
        keyed === 'is null' ? '' : 'key, '
      }priority, position limit 1)`;
  const { rows } = await db.query(
    `select extract(epoch from clock_timestamp()) as at, one.lane,
       (select count(*) from ${names.dead} where kind = $1) as dead,
       (select count(*) from (select from ${names.task} as task
          where task.kind = $1 and task.lane = one.lane and state = 'ready' and ${free} limit ${MOST + 1}) as counted) as ready,
       greatest(${oldest('is null')}, ${oldest('is not null')}) as "oldestSeconds",
       due.scheduled, due."dueSoon", due."nextDueAt",
       (select count(*) from ${names.task} as task
          where task.kind = $1 and task.lane = one.lane and state = 'running')
         + (select count(*) from ${bundled(names)} as task where task.kind = $1 and task.lane = one.lane) as running,
       to_json(tally) as tally
     from (values ('normal'), ('fallback')) as one (lane)
     cross join lateral (
       select count(*) as scheduled, count(*) filter (where run_at < clock_timestamp() + $2::float8 * interval '1 second') as "dueSoon",
         extract(epoch from min(run_at)) as "nextDueAt"
       from (select run_at from ${names.task} as task
         where task.kind = $1 and task.lane = one.lane and state = 'scheduled' order by run_at limit ${MOST}) as nearest
     ) as due
     left join ${names.tally} as tally on tally.kind = $1 and tally.lane = one.lane`,
    [kind, soonSeconds],
  );
  const lanes = { normal: emptyLoad('normal'), fallback: emptyLoad('fallback') };
  for (const row of rows) {
    const lane = row['lane'] === 'fallback' ? 'fallback' : 'normal';
    const ready = Number(row['ready']);
    lanes[lane] = {
      lane,
      ready: Math.min(ready, MOST),
      counted: ready > MOST ? 'most' : 'all',
      scheduled: Number(row['scheduled']),
      dueSoon: Number(row['dueSoon']),
      nextDueAt: numberOrNull(row['nextDueAt']),
      running: Number(row['running']),
      oldestSeconds: ageOf(row['oldestSeconds']),
      tally: tallyOf(row['tally']),
    };
  }
  return { at: Number(rows[0]?.['at']), dead: Number(rows[0]?.['dead']), lanes };
}

function emptyLoad(lane: Lane): LaneLoad {
  const nothing = { ready: 0, scheduled: 0, dueSoon: 0, nextDueAt: null, running: 0, oldestSeconds: null };
  return { lane, counted: 'all', ...nothing, tally: tallyOf(null) };
}

function tallyOf(value: unknown): TallyCounts {
  const found = typeof value === 'object' && value !== null ? value : {};
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one for each name
  return Object.fromEntries(tallied.map((name) => [name, Number(Reflect.get(found, name) ?? 0)])) as TallyCounts;
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

function ageOf(value: unknown): number | null {
  const seconds = numberOrNull(value);
  return seconds === null ? null : Math.max(0, seconds);
}
