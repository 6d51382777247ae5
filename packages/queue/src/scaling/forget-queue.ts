import { type Database, namesIn } from '../statements/names.ts';

/**
 * Deletes everything of a kind: tasks in any state, results, counts, and what was decided for its lanes. For a queue whose owner is
 * gone. Tasks that run are cancelled, and gone when their attempts end.
 */
export async function forgetQueue(db: Database, schema: string, kind: string): Promise<void> {
  const names = namesIn(schema);
  await db.query(
    `with gone as (delete from ${names.task} where kind = $1 and state <> 'running'),
       cancelled as (update ${names.task} set cancelled = true where kind = $1 and state = 'running' returning id),
       dead as (delete from ${names.dead} where kind = $1),
       done as (delete from ${names.done} where kind = $1),
       counts as (delete from ${names.tally} where kind = $1),
       usage as (delete from ${names.usage} where kind = $1),
       lanes as (delete from ${names.lane} where kind = $1)
     select count(pg_notify($2, 'cancel ' || id)) from cancelled`,
    [kind, names.channel],
  );
}
