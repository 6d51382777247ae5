import { type Database, type Names } from './names.ts';
import { tellReady } from './tell.ts';

const BATCH = 1_000;

/**
 * Makes scheduled tasks ready whose time has come, by PostgreSQL's clock, each at the end of its line, and tells every process that handles them.
 *
 * @returns How many, and in how many milliseconds the next one is due (0: there are more that are due; null: none is scheduled).
 */
export async function promoteDue(db: Database, names: Names): Promise<{ promoted: number; nextInMs: number | null }> {
  const { rows } = await db.query(
    `with due as (
       update ${names.task} set state = 'ready', position = nextval(${names.position})
       where id in (
         select id from ${names.task} where state = 'scheduled' and run_at <= clock_timestamp()
         order by run_at limit ${BATCH} for update skip locked
       )
       returning id, kind, lane, key, priority, position
     ), told as (
       ${tellReady('due', '$1')}
     )
     select (select count(*) from due)::int as promoted, (select told from told) as told,
       (select greatest(0, ceil(extract(epoch from at - clock_timestamp()) * 1000))::float8
        from (select min(run_at) as at from ${names.task} where state = 'scheduled' and id not in (select id from due)) as next
        where at is not null) as "nextInMs"`,
    [names.channel],
  );
  const row = rows[0] ?? {};
  const next = row['nextInMs'];
  return { promoted: Number(row['promoted']), nextInMs: typeof next === 'number' ? next : null };
}
