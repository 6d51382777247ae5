import { bundled, notBundled } from './bundle.ts';
import { type Lane, laneOf } from './lane.ts';
import type { Database, Names } from './names.ts';

/** What waits and runs of one kind, in one lane. */
export interface Backlog {
  kind: string;
  lane: Lane;
  ready: number;
  /** Due within the time that was asked for. */
  dueSoon: number;
  running: number;
  /** For how long the oldest of the ready ones that were counted has waited; null: none is ready. */
  oldestSeconds: number | null;
  /** `estimated`: there are more than 10,000 of something, or counting took too long; `ready` is the planner's estimate then. */
  counted: 'exactly' | 'estimated';
}

/** Of each thing so many are counted one by one. */
const MOST = 10_000;

/** How long {@link countBacklog} may take before estimates must do: dead rows may lie in its way. */
export const patienceMs = 1_000;

/** Counts by the indexes of the claims. It costs the same however long the lines are. */
export async function countBacklog(
  db: Database,
  names: Names,
  options: { kind: string | null; soonSeconds: number },
): Promise<Backlog[]> {
  const keyed = (is: 'is null' | 'is not null') => {
    const from = `from ${names.task} as task where task.state = 'ready' and task.key ${is}`;
    return `select line.kind, line.lane, counted.number, counted.oldest from (
        with recursive line as (
          (select kind, lane ${from} and ($1::text is null or kind = $1) order by kind, lane limit 1)
          union all
          select next.kind, next.lane from line cross join lateral (
            select kind, lane ${from} and (kind, lane) > (line.kind, line.lane) and ($1::text is null or kind = $1) order by kind, lane limit 1
          ) as next
        ) select * from line
      ) as line cross join lateral (
        select count(*) as number, min(run_at) as oldest from (
          select run_at ${from} and task.kind = line.kind and task.lane = line.lane
            and ${notBundled(names, 'task', '$1::text is null or bundle.kind = $1')}
          order by ${is === 'is null' ? '' : 'task.key, '}task.priority, task.position limit ${MOST + 1} -- in their index's order: else it may read the whole table
        ) as sample
      ) as counted`;
  };
  const { rows } = await db.query(
    `with ready as (
       ${keyed('is null')} union all ${keyed('is not null')}
     ), soon as (
       select kind, lane, count(*) as number from (
         select kind, lane from ${names.task} as task where state = 'scheduled' and run_at <= clock_timestamp() + $2::float8 * interval '1 second'
         order by run_at limit ${MOST + 1}
       ) as due where $1::text is null or kind = $1 group by kind, lane
     ), running as (
       select kind, lane, count(*) as number from (
         (select kind, lane from ${names.task} as task where state = 'running' and ($1::text is null or kind = $1) limit ${MOST + 1})
         union all (select kind, lane from ${bundled(names)} as task where $1::text is null or kind = $1 limit ${MOST + 1})
       ) as sample group by kind, lane
     )
     select kind, lane, sum(ready)::int as ready, sum(soon)::int as soon, sum(running)::int as running,
       extract(epoch from clock_timestamp() - min(oldest))::float8 as oldest,
       bool_or(greatest(ready, soon, running) > ${MOST}) or sum(sum(soon)) over () > ${MOST} or sum(sum(running)) over () > ${MOST} as many
     from (
       select kind, lane, number as ready, 0 as soon, 0 as running, oldest from ready
       union all select kind, lane, 0, number, 0, null from soon
       union all select kind, lane, 0, 0, number, null from running
     ) as part group by kind, lane order by kind, lane`,
    [options.kind, options.soonSeconds],
  );
  return rows.map((row) => ({
    kind: String(row['kind']),
    lane: laneOf(row['lane']),
    ready: Number(row['ready']),
    dueSoon: Number(row['soon']),
    running: Number(row['running']),
    oldestSeconds: row['oldest'] === null ? null : Math.max(0, Number(row['oldest'])),
    counted: row['many'] === true ? 'estimated' : 'exactly',
  }));
}

/** How many tasks are ready, as the planner sees it: from its last look at the table. It reads none. */
export async function estimateReady(db: Database, names: Names, kind: string, lane: Lane): Promise<number> {
  const { rows } = await db.query(
    `explain (format json) select from ${names.task} where kind = ${literal(kind)} and lane = ${literal(lane)} and state = 'ready'`,
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what EXPLAIN answers
  const [plan] = rows as unknown as { 'QUERY PLAN': { Plan: { 'Plan Rows': number } }[] }[];
  return plan?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? 0;
}

/** Kinds and lanes that had a task at any time. */
export async function knownLines(db: Database, names: Names): Promise<{ kind: string; lane: Lane }[]> {
  const { rows } = await db.query(`select kind, lane from ${names.tally} order by kind, lane`);
  return rows.map((row) => ({
    kind: String(row['kind']),
    lane: laneOf(row['lane']),
  }));
}

/** With a parameter the planner would estimate for any value. */
function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
