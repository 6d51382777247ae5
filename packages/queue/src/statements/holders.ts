import type { Database } from './names.ts';

/** Somebody who keeps PostgreSQL from cleaning up what tasks leave behind. */
export interface Holder {
  /** Tells it from every other one. */
  name: string;
  /** Process id of the session; 0: no session, but a prepared transaction or a replication slot. */
  session: number;
  user: string;
  application: string;
  seconds: number;
  query: string;
}

/** Of a query so much is told. */
const QUERY_LENGTH = 200;

/**
 * Who has held back the cleaning of this database for longest, if that is longer than `seconds`: a session with an open transaction that has
 * a snapshot or an id, a prepared transaction, or a replication slot that nobody reads.
 *
 * Sessions of other users are seen only by members of `pg_read_all_stats`: to everybody else PostgreSQL does not even say
 * since when they have a transaction open.
 */
export async function longestHolder(db: Database, seconds: number): Promise<Holder | null> {
  const { rows } = await db.query(
    `select * from (
       select 'session ' || pid || ' ' || xact_start as name, pid as session, coalesce(usename, '') as "user",
         coalesce(application_name, '') as application, extract(epoch from clock_timestamp() - xact_start)::float8 as seconds,
         left(coalesce(query, ''), $2) as query
       from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and (backend_xmin is not null or backend_xid is not null)
         and backend_type = 'client backend'
       union all
       select 'prepared ' || gid, 0, owner, 'prepared transaction ' || gid, extract(epoch from clock_timestamp() - prepared)::float8,
         'prepare transaction ' || quote_literal(gid)
       from pg_prepared_xacts where database = current_database()
       union all
       select 'slot ' || slot_name, 0, '', 'replication slot ' || slot_name,
         extract(epoch from clock_timestamp() - (to_jsonb(slot) ->> 'inactive_since')::timestamptz)::float8, '' -- known since PostgreSQL 17
       from pg_replication_slots as slot where not active and (xmin is not null or catalog_xmin is not null)
     ) as holder
     where seconds > $1 order by seconds desc limit 1`,
    [seconds, QUERY_LENGTH],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return {
    name: String(row['name']),
    session: Number(row['session']),
    user: String(row['user']),
    application: String(row['application']),
    seconds: Number(row['seconds']),
    query: String(row['query']),
  };
}
