import type { Pool } from 'pg';
import { countWaiting } from '../read-backlog.ts';
import type { Backlog } from '../statements/backlog.ts';
import type { Lane } from '../statements/lane.ts';
import { type Database, type Names, namesIn } from '../statements/names.ts';
import { tallied, type TallyCounts } from '../statements/tally.ts';

/** What waits and runs in one lane of a kind. */
export interface LaneLoad extends Omit<Backlog, 'counted'> {
  /** `most`: there are at least so many ready ones; counting them all would take long. */
  counted: 'all' | 'most';
  scheduled: number;
  /** When the next scheduled task is due, in seconds since 1970; null: none is scheduled. */
  nextDueAt: number | null;
  /** What happened since the beginning; the last two seconds may be missing. */
  tally: TallyCounts;
}

export interface QueueLoad {
  /** By PostgreSQL's clock, in seconds since 1970. */
  at: number;
  dead: number;
  lanes: Record<Lane, LaneLoad>;
}

/** Of the scheduled tasks so many are counted: what matters about more is that it is much. */
const MOST = 20_000;

const EMPTY = { ready: 0, dueSoon: 0, running: 0, oldestSeconds: null, counted: 'exactly' } as const;

/** What there is to do for a kind. It costs the same however long the line is. */
export async function readSignals(pool: Pool, schema: string, kind: string, soonSeconds = 2): Promise<QueueLoad> {
  const names = namesIn(schema);
  const [backlog, { at, dead, lanes }] = await Promise.all([
    countWaiting(pool, names, { kind, soonSeconds }),
    readPlanned(pool, names, kind),
  ]);
  const loadOf = (lane: Lane): LaneLoad => {
    const { counted, ...line } = backlog.find((one) => one.lane === lane) ?? { ...EMPTY, kind, lane };
    return { ...line, counted: counted === 'exactly' ? 'all' : 'most', ...lanes[lane] };
  };
  return { at, dead, lanes: { normal: loadOf('normal'), fallback: loadOf('fallback') } };
}

type Planned = Pick<LaneLoad, 'scheduled' | 'nextDueAt' | 'tally'>;

/** What does not wait in the line: tasks whose time will come, and what has happened to others. */
async function readPlanned(
  db: Database,
  names: Names,
  kind: string,
): Promise<{ at: number; dead: number; lanes: Record<Lane, Planned> }> {
  const { rows } = await db.query(
    `select extract(epoch from clock_timestamp()) as at, one.lane, due.scheduled, due."nextDueAt", to_json(tally) as tally,
       (select count(*) from ${names.dead} where kind = $1) as dead
     from (values ('normal'), ('fallback')) as one (lane)
     cross join lateral (
       select count(*) as scheduled, extract(epoch from min(run_at)) as "nextDueAt"
       from (select run_at from ${names.task} as task
         where task.kind = $1 and task.lane = one.lane and state = 'scheduled' order by run_at limit ${MOST}) as nearest
     ) as due
     left join ${names.tally} as tally on tally.kind = $1 and tally.lane = one.lane`,
    [kind],
  );
  const plannedIn = (lane: Lane): Planned => {
    const row = rows.find((one) => one['lane'] === lane);
    const nextDueAt = row?.['nextDueAt'] ?? null;
    return {
      scheduled: Number(row?.['scheduled']),
      nextDueAt: nextDueAt === null ? null : Number(nextDueAt),
      tally: tallyOf(row?.['tally']),
    };
  };
  return {
    at: Number(rows[0]?.['at']),
    dead: Number(rows[0]?.['dead']),
    lanes: { normal: plannedIn('normal'), fallback: plannedIn('fallback') },
  };
}

function tallyOf(value: unknown): TallyCounts {
  const found = typeof value === 'object' && value !== null ? value : {};
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one for each name
  return Object.fromEntries(tallied.map((name) => [name, Number(Reflect.get(found, name) ?? 0)])) as TallyCounts;
}
