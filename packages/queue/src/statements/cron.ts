import type { NewTask, NewTasks } from './enqueue.ts';
import type { Database, Names } from './names.ts';

/** What a tick adds. */
export interface CronTask {
  task: NewTask;
  all: Pick<NewTasks, 'kind' | 'lane' | 'lossesAllowed' | 'keepSeconds'>;
}

export interface CronRow extends CronTask {
  name: string;
  schedule: string;
  timezone: string;
}

/** The time by PostgreSQL's clock, in milliseconds since 1970. */
export async function databaseNow(db: Database): Promise<number> {
  const { rows } = await db.query('select (extract(epoch from clock_timestamp()) * 1000)::float8 as now');
  return Number(rows[0]?.['now']);
}

/**
 * Enters a schedule, or changes it. While its times stay the same, so does its next tick: one that was missed is made up for. Tells every
 * process when the next one is.
 *
 * @param nextAt Milliseconds since 1970; null: never.
 */
export async function saveCron(db: Database, names: Names, cron: CronRow, nextAt: number | null): Promise<void> {
  await db.query(
    `with saved as (
       insert into ${names.cron} as cron (name, kind, schedule, timezone, task, next_at)
       values ($1, $2, $3, $4, $5::json, ${timeOf('$6::float8')})
       on conflict (name) do update set kind = excluded.kind, schedule = excluded.schedule, timezone = excluded.timezone, task = excluded.task,
         next_at = case when (cron.schedule, cron.timezone) = (excluded.schedule, excluded.timezone) then cron.next_at else excluded.next_at end
       returning next_at
     )
     select pg_notify($7, 'cron ' || ${inMs('next_at')}) from saved where next_at < 'infinity'`,
    [
      cron.name,
      cron.all.kind,
      cron.schedule,
      cron.timezone,
      JSON.stringify({ task: cron.task, all: cron.all }),
      nextAt,
      names.channel,
    ],
  );
}

/** False: there is none of this name. */
export async function deleteCron(db: Database, names: Names, name: string): Promise<boolean> {
  const { rowCount } = await db.query(`delete from ${names.cron} where name = $1`, [name]);
  return rowCount === 1;
}

export interface DueCron extends CronRow {
  /** PostgreSQL's text of the time, for {@link takeTick}. */
  dueAt: string;
}

/** Schedules whose next tick has come, PostgreSQL's time, and in how many milliseconds the next one of the others comes. */
export async function dueCrons(
  db: Database,
  names: Names,
): Promise<{ due: DueCron[]; now: number; nextInMs: number | null }> {
  const { rows } = await db.query(
    `select name, schedule, timezone, task, next_at::text as "dueAt", next_at <= clock_timestamp() as due,
       (extract(epoch from clock_timestamp()) * 1000)::float8 as now, ${inMs('next_at')} as "inMs"
     from ${names.cron} where next_at < 'infinity' order by next_at limit 100`,
  );
  const due = rows.filter((row) => row['due'] === true);
  const next = rows.find((row) => row['due'] !== true);
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as `saveCron` wrote it
    due: due.map((row) => ({ ...(row as unknown as DueCron), ...(row['task'] as CronTask) })),
    now: Number(rows[0]?.['now']),
    nextInMs: due.length === 100 ? 0 : next === undefined ? null : Number(next['inMs']),
  };
}

/** Moves a schedule to its next tick. False: another process has taken this one, or the schedule was changed. */
export async function takeTick(db: Database, names: Names, cron: DueCron, nextAt: number | null): Promise<boolean> {
  const { rowCount } = await db.query(
    `update ${names.cron} set next_at = ${timeOf('$5::float8')}
     where name = $1 and schedule = $2 and timezone = $3 and next_at = $4::timestamptz`,
    [cron.name, cron.schedule, cron.timezone, cron.dueAt, nextAt],
  );
  return rowCount === 1;
}

function timeOf(milliseconds: string): string {
  return `coalesce(to_timestamp(${milliseconds} / 1000), 'infinity')`;
}

function inMs(at: string): string {
  return `greatest(0, ceil(extract(epoch from ${at} - clock_timestamp()) * 1000))::float8`;
}
