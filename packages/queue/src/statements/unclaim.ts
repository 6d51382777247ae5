import type { Held } from './finish.ts';
import { type Database, type Names } from './names.ts';
import { restoredName } from './release.ts';
import { tellReady } from './tell.ts';

/**
 * Gives back tasks that were claimed in advance and not begun: as if they had never been claimed, but for the lease.
 *
 * @throws {DatabaseError} 23505 when a successor took a unique name meanwhile: again with `name: 'drop'`.
 */
export async function unclaimTasks(
  db: Database,
  names: Names,
  held: readonly Held[],
  name: 'restore' | 'drop',
): Promise<void> {
  await db.query(
    `with unclaimed as (
       update ${names.task} as task set
         state = 'ready', worker_id = null, key_slot = null, lease = task.lease + 1, attempts = attempts - 1,
         waits_as = ${restoredName(names, '$3::boolean')}
       from unnest($1::bigint[], $2::bigint[]) as held (id, lease) where task.id = held.id and task.lease = held.lease
       returning kind, task.lane, key, priority, position
     )
     ${tellReady('unclaimed', '$4')}`,
    [held.map(({ id }) => id), held.map(({ lease }) => lease), name === 'restore', names.channel],
  );
}
