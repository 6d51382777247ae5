import { endInBatch } from './batch.ts';
import { buriedColumns } from './bury.ts';
import { noteTaken } from './gone-worker.ts';
import { type Lane, laneOf } from './lane.ts';
import { type Database, type Names } from './names.ts';
import { extendedHistory, restoredName } from './release.ts';
import { tellReady, waitingFor } from './tell.ts';

export interface Rescued {
  id: string;
  kind: string;
  lane: Lane;
  /** `returned`: it is ready again. `dead`: it was lost too often. `cancelled`: it is deleted, as was asked. */
  fate: 'returned' | 'dead' | 'cancelled';
}

const BATCH = 1_000;

/**
 * Takes back the tasks of workers that are gone. Each counts as lost, not as a retry; one that was lost or crashed as often as its
 * kind allows goes to the dead letters; a cancelled one is deleted. Growing leases shut out what the lost attempts may
 * still say.
 *
 * @returns At most 1000: call again until there are none.
 * @throws {DatabaseError} 23505 when a successor waits under a unique name: rescue again with `name: 'drop'`.
 */
export async function rescueTasks(db: Database, names: Names, name: 'restore' | 'drop'): Promise<Rescued[]> {
  const message = 'the process that worked on it ended, or did not report in time';
  const last = 'task.losses + task.crashes + 1 >= task.losses_allowed';
  const { rows } = await db.query(
    `with lost as materialized (
       select task.id, task.lease, task.worker_id, worker.host, jsonb_build_object(
         'attempt', attempts, 'lane', task.lane, 'at', to_json(clock_timestamp()), 'cause', 'lost', 'message', $2::text) as entry
       from ${names.worker} as worker join ${names.task} as task on task.worker_id = worker.id and task.state = 'running'
       where worker.gone_at is not null
       limit ${BATCH}
       for update of task skip locked
     ), ${noteTaken(names, 'lost')}, gone as (
       delete from ${names.task} as task using lost
       where task.id = lost.id and (task.cancelled or ${last})
       returning task.*, lost.entry
     ), buried as (
       insert into ${names.dead} (${buriedColumns}, history, cause, error)
       select ${buriedColumns.replace('losses,', 'losses + 1,')}, ${extendedHistory('entry')}, 'lost', $2 || ', ' || (losses + 1) || ' times'
       from gone as task where not cancelled
       returning id, kind, lane
     ), returned as (
       update ${names.task} as task set
         state = 'ready', worker_id = null, key_slot = null, lease = task.lease + 1, losses = losses + 1,
         waits_as = ${restoredName(names, '$1::boolean')},
         history = ${extendedHistory('lost.entry')}
       from lost where task.id = lost.id and not task.cancelled and not (${last})
       returning task.id, kind, lane, key, priority, position
     ), ${endInBatch(names, 'gone', `case when cancelled then 'cancelled' else 'dead' end`)}, freed as (
       select kind, lane, key, priority, position from returned
       union all select * from (${waitingFor(names.task, 'select key from gone')}) as waiting
       union all table fanned
     ), told as (
       ${tellReady('freed', '$3')}
     )
     select id, kind, lane, 'returned' as fate from returned cross join told
     union all
     select id, kind, lane, 'dead' from buried cross join told
     union all
     select id, kind, lane, 'cancelled' from gone cross join told where cancelled`,
    [name === 'restore', message, names.channel],
  );
  return rows.map((row) => ({
    id: String(row['id']),
    kind: String(row['kind']),
    lane: laneOf(row['lane']),
    fate: row['fate'] === 'returned' ? 'returned' : row['fate'] === 'dead' ? 'dead' : 'cancelled',
  }));
}
