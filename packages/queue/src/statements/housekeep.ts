import { pruneGone } from './gone-worker.ts';
import type { Database, Names } from './names.ts';
import { pruneUsage } from './usage.ts';

/** Deletes what was kept long enough. Any process may do it, at any time. */
export async function housekeep(db: Database, names: Names): Promise<void> {
  await db.query(
    `delete from ${names.done} where id in (
       select id from ${names.done} where expires_at < clock_timestamp() order by expires_at limit 5000 for update skip locked
     )`,
  );
  // A batch is over when all its members have ended and its closing task is gone: not while that waits, runs, or is dead.
  await db.query(
    `delete from ${names.batch} where id in (
       select id from ${names.batch} as batch where open = 0
         and not exists (select from ${names.task} as task where task.id = batch.fan_in)
         and not exists (select from ${names.dead} as dead where dead.id = batch.fan_in)
       limit 100 for update skip locked
     )`,
  );
  // A theoretical arrival time that is over says the same as none.
  await db.query(
    `delete from ${names.rate} where name in (
       select name from ${names.rate} where tat < clock_timestamp() - interval '1 minute' limit 5000 for update skip locked
     )`,
  );
  await pruneGone(db, names);
  await pruneUsage(db, names);
}
