import { type Database, type Names } from './names.ts';

/**
 * Deletes a task that waits; marks one that runs and tells the process that runs it. False: there is no such task (any more).
 */
export async function cancelTask(db: Database, names: Names, taskId: string): Promise<boolean> {
  const { rows } = await db.query(
    `with target as (
       select id, state from ${names.task} where id = $1 for update
     ), deleted as (
       delete from ${names.task} as task using target where task.id = target.id and target.state <> 'running' returning task.id
     ), marked as (
       update ${names.task} as task set cancelled = true from target
       where task.id = target.id and target.state = 'running' returning task.id
     )
     select (select count(*) from deleted) + (select count(pg_notify($2, 'cancel ' || id)) from marked) as found`,
    [taskId, names.channel],
  );
  return Number(rows[0]?.['found']) > 0;
}
