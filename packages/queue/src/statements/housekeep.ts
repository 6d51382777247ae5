import type { Database, Names } from './names.ts';

/** Deletes what was kept long enough. Any process may do it, at any time. */
export async function housekeep(db: Database, names: Names): Promise<void> {
  await db.query(
    `delete from ${names.done} where id in (
       select id from ${names.done} where expires_at < clock_timestamp() order by expires_at limit 5000 for update skip locked
     )`,
  );
}
