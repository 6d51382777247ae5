import type { Held } from './finish.ts';
import { type Database, type Names } from './names.ts';
import { restoredName } from './release.ts';
import { tellReady } from './tell.ts';

/**
 * Gives back tasks that were claimed and not begun: as if they had never been claimed, but for the lease.
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
       ${unclaim(names, '$3')}
       from unnest($1::bigint[], $2::bigint[]) as held (id, lease) where task.id = held.id and task.lease = held.lease
       returning kind, task.lane, key, priority, position
     )
     ${tellReady('unclaimed', '$4')}`,
    [held.map(({ id }) => id), held.map(({ lease }) => lease), name === 'restore', names.channel],
  );
}

/**
 * Gives back the tasks of a worker that it does not know of: the answer to its claim got lost.
 *
 * @param known ids of all tasks that it holds, with no claim under way.
 * @throws {DatabaseError} 23505 when a successor takes a unique name at that moment: call again, it is seen then.
 */
export async function unclaimStrays(
  db: Database,
  names: Names,
  worker: { id: string; known: readonly string[] },
): Promise<void> {
  await db.query(
    `with unclaimed as (
       ${unclaim(names, '$3')}
       where task.worker_id = $1 and task.state = 'running' and task.id <> all ($2::bigint[])
       returning kind, task.lane, key, priority, position
     )
     ${tellReady('unclaimed', '$4')}`,
    [worker.id, worker.known, true, names.channel],
  );
}

function unclaim(names: Names, restore: string): string {
  return `update ${names.task} as task set
         state = 'ready', worker_id = null, key_slot = null, lease = task.lease + 1, attempts = attempts - 1,
         waits_as = ${restoredName(names, `${restore}::boolean`)}`;
}
