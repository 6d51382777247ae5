import { buriedColumns } from './bury.ts';
import { type Database, type Names } from './names.ts';
import { extendedHistory, restoredName } from './release.ts';

export interface Rescued {
  id: string;
  kind: string;
  /** `returned`: it is ready again. `dead`: it was lost too often. `cancelled`: it is deleted, as was asked. */
  fate: 'returned' | 'dead' | 'cancelled';
}

const BATCH = 1_000;

/**
 * Takes back the tasks of workers that are gone. Each counts as lost, not as a retry; one that was lost as often as its
 * kind allows goes to the dead letters; a cancelled one is deleted. Growing leases shut out what the lost attempts may
 * still say.
 *
 * @returns At most 1000: call again until there are none.
 * @throws {DatabaseError} 23505 when a successor waits under a unique name: rescue again with `name: 'drop'`.
 */
export async function rescueTasks(db: Database, names: Names, name: 'restore' | 'drop'): Promise<Rescued[]> {
  const message = 'the process that worked on it ended, or did not report in time';
  const { rows } = await db.query(
    `with lost as materialized (
       select task.id, jsonb_build_object('attempt', attempts, 'at', to_json(clock_timestamp()), 'cause', 'lost', 'message', $2::text) as entry
       from ${names.task} as task
       where task.state = 'running' and not exists (select from ${names.worker} as worker where worker.id = task.worker_id)
       limit ${BATCH}
       for update of task skip locked
     ), gone as (
       delete from ${names.task} as task using lost
       where task.id = lost.id and (task.cancelled or task.losses + 1 >= task.losses_allowed)
       returning task.*, lost.entry
     ), buried as (
       insert into ${names.dead} (${buriedColumns}, history, cause, error)
       select ${buriedColumns.replace('losses,', 'losses + 1,')}, ${extendedHistory('entry')}, 'lost', $2 || ', ' || (losses + 1) || ' times'
       from gone as task where not cancelled
       returning id, kind
     ), returned as (
       update ${names.task} as task set
         state = 'ready', worker_id = null, lease = lease + 1, losses = losses + 1,
         waits_as = ${restoredName(names, '$1::boolean')},
         history = ${extendedHistory('lost.entry')}
       from lost where task.id = lost.id and not task.cancelled and task.losses + 1 < task.losses_allowed
       returning task.id, task.kind
     ), freed as (
       select kind from returned
       union
       select kind from ${names.task} where state = 'ready' and key in (select key from gone)
     ), told as (
       select count(pg_notify($3, 'ready ' || kind)) from freed
     )
     select id, kind, 'returned' as fate from returned cross join told
     union all
     select id, kind, 'dead' from buried cross join told
     union all
     select id, kind, 'cancelled' from gone cross join told where cancelled`,
    [name === 'restore', message, names.channel],
  );
  return rows.map((row) => ({
    id: String(row['id']),
    kind: String(row['kind']),
    fate: row['fate'] === 'returned' ? 'returned' : row['fate'] === 'dead' ? 'dead' : 'cancelled',
  }));
}
