import type { Held, Verdict } from './finish.ts';
import { type Database, type Names } from './names.ts';
import { extendedHistory, type HistoryEntry } from './release.ts';

/**
 * | cause | |
 * | --- | --- |
 * | retries-used    | its handler threw, once more than the kind allows retries |
 * | discarded       | its handler threw `Discard` |
 * | invalid-payload | its payload does not match the kind's schema |
 * | lost            | the process that worked on it died, too often |
 */
export type DeathCause = 'retries-used' | 'discarded' | 'invalid-payload' | 'lost';

/** Columns that a task and a dead task share, in the order of {@link buriedValues}. */
export const buriedColumns = `id, kind, payload, priority, key, unique_name, lease, attempts, failures, interruptions, losses,
  losses_allowed, created_at`;

/** Moves a task to the dead letters, if the lease is still ours; a cancelled one is deleted instead. */
export async function buryTask(
  db: Database,
  names: Names,
  held: Held,
  death: { cause: DeathCause; entry: HistoryEntry },
): Promise<Verdict> {
  const { rows } = await db.query(
    `with gone as (
       delete from ${names.task} where id = $1 and lease = $2 returning *
     ), buried as (
       insert into ${names.dead} (${buriedColumns}, history, cause, error)
       select ${buriedColumns}, ${extendedHistory('$3::jsonb')}, $4, $5 from gone as task where not cancelled
     )
     select count(*) as gone, count((
       select count(pg_notify($6, 'ready ' || kind)) from (
         select distinct kind from ${names.task} where state = 'ready' and key = gone.key
       ) as freed
     )) as told from gone`,
    [held.id, held.lease, JSON.stringify(death.entry), death.cause, death.entry.message, names.channel],
  );
  return Number(rows[0]?.['gone']) > 0 ? 'done' : 'late';
}
