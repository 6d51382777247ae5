import type { Held, Verdict } from './finish.ts';
import { type Database, type Names } from './names.ts';

/** How an attempt ended that did not finish its task. */
export interface HistoryEntry {
  attempt: number;
  /** ISO 8601. */
  at: string;
  cause: 'error' | 'lost';
  message: string;
}

export interface Release {
  /** Seconds until it is due again; 0: at once. */
  seconds: number;
  counts: 'failure' | 'interruption' | 'nothing';
  history: HistoryEntry | null;
  /** `restore`: wait under the unique name again, unless a successor does. `drop`: the successor came in between. */
  name: 'restore' | 'drop';
}

/** What a task waits as when it goes back: its unique name, unless another task waits under it by now. */
export function restoredName(names: Names, restore: string): string {
  return `case when ${restore} and not exists (
    select from ${names.task} as other where other.kind = task.kind and other.waits_as = task.unique_name
  ) then task.unique_name end`;
}

/** The last 20 entries are kept. */
export function extendedHistory(entry: string): string {
  return `(case when jsonb_array_length(task.history) >= 20 then task.history - 0 else task.history end) || ${entry}`;
}

/**
 * Gives a task back, if the lease is still ours; a cancelled one is deleted instead. Tells whoever can go on now.
 *
 * @throws {DatabaseError} 23505 when a successor took the unique name meanwhile: release again with `name: 'drop'`.
 */
export async function releaseTask(db: Database, names: Names, held: Held, release: Release): Promise<Verdict> {
  const { rows } = await db.query(
    `with cancelled as (
       delete from ${names.task} where id = $1 and lease = $2 and cancelled returning id, kind, key
     ), released as (
       update ${names.task} as task set
         state = case when $3::float8 > 0 then 'scheduled' else 'ready' end,
         run_at = clock_timestamp() + $3::float8 * interval '1 second',
         worker_id = null, lease = lease + 1,
         waits_as = ${restoredName(names, '$4::boolean')},
         failures = failures + $5, interruptions = interruptions + $6,
         history = case when $7::jsonb is null then history else ${extendedHistory('$7::jsonb')} end
       where id = $1 and lease = $2 and not cancelled
       returning id, kind, key, state
     ), freed as (
       select kind from released where state = 'ready'
       union
       select kind from ${names.task} where state = 'ready' and key in (select key from released union select key from cancelled)
     )
     select (select count(*) from released) + (select count(*) from cancelled) as released,
       (select count(pg_notify($8, 'ready ' || kind)) from freed) as told,
       (select count(pg_notify($8, 'scheduled ' || ceil($3::float8 * 1000))) from released where state = 'scheduled') as "toldLater"`,
    [
      held.id,
      held.lease,
      release.seconds,
      release.name === 'restore',
      release.counts === 'failure' ? 1 : 0,
      release.counts === 'interruption' ? 1 : 0,
      release.history === null ? null : JSON.stringify(release.history),
      names.channel,
    ],
  );
  return Number(rows[0]?.['released']) > 0 ? 'done' : 'late';
}
