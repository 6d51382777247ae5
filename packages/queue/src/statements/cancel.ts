import { endInBatch } from './batch.ts';
import { type Database, type Names } from './names.ts';
import { tellReady, waitingFor } from './tell.ts';

/**
 * Deletes a task that waits, and tells who waited behind it; marks one that runs and tells the process that runs it. False: there is no
 * such task (any more).
 */
export async function cancelTask(db: Database, names: Names, taskId: string): Promise<boolean> {
  const { rows } = await db.query(
    `with bundled as materialized (
       select ${names.cancelBundled}($1) as found
     ), target as (
       select id, state from ${names.task} where id = $1 and not (select found from bundled) for update
     ), deleted as (
       delete from ${names.task} as task using target where task.id = target.id and target.state <> 'running'
       returning task.id, task.kind, task.lane, task.key, task.batch_id
     ), marked as (
       update ${names.task} as task set cancelled = true from target
       where task.id = target.id and target.state = 'running' returning task.id
     ), ${endInBatch(names, 'deleted', `'cancelled'`)}, freed as (
       ${waitingFor(names.task, 'select key from deleted')}
     ), told as (
       ${tellReady('(table fanned union all table freed)', '$2')}
     ), counted as (
       insert into ${names.tally} as tally (kind, lane, cancelled) select kind, lane, 1 from deleted
       on conflict (kind, lane) do update set cancelled = tally.cancelled + 1
     )
     select (select count(*) from deleted) + (
       select count(pg_notify($2, 'cancel ' || id)) from (table marked union all select $1 from bundled where found) as wanted
     ) as found, (select told from told) as told`,
    [taskId, names.channel],
  );
  return Number(rows[0]?.['found']) > 0;
}
