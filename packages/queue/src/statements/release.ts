import { endInBatch } from './batch.ts';
import type { Held, Verdict } from './finish.ts';
import type { Lane } from './lane.ts';
import { type Database, type Names } from './names.ts';
import { tellReady, waitingFor } from './tell.ts';

/** Why an attempt did not finish its task. Each has its own counter. */
export type EndCause = 'error' | 'oom' | 'timeout' | 'crash' | 'lost' | 'interrupted';

/** How an attempt ended that did not finish its task. */
export interface HistoryEntry {
  attempt: number;
  lane: Lane;
  /** ISO 8601. */
  at: string;
  cause: EndCause;
  message: string;
}

export interface Release {
  /** Seconds until it is due again; 0: at once. */
  seconds: number;
  /** Which counter grows; null: none. */
  counts: Exclude<EndCause, 'lost'> | null;
  /** The lane it waits in from now on. */
  lane: Lane;
  history: HistoryEntry | null;
  /** `restore`: wait under the unique name again, unless a successor does. `drop`: the successor came in between. */
  name: 'restore' | 'drop';
}

const counters: Record<Exclude<EndCause, 'lost'>, string> = {
  error: 'failures',
  oom: 'ooms',
  timeout: 'timeouts',
  crash: 'crashes',
  interrupted: 'interruptions',
};

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
  const counter = release.counts === null ? null : counters[release.counts];
  const { rows } = await db.query(
    `with cancelled as (
       delete from ${names.task} where id = $1 and lease = $2 and cancelled returning id, key, batch_id
     ), released as (
       update ${names.task} as task set
         state = case when $3::float8 > 0 then 'scheduled' else 'ready' end,
         run_at = clock_timestamp() + $3::float8 * interval '1 second',
         worker_id = null, key_slot = null, lease = lease + 1, lane = $4,
         ${release.counts === 'interrupted' ? '' : `position = nextval(${names.position}),`}
         ${counter === null ? '' : `${counter} = ${counter} + 1,`}
         waits_as = ${restoredName(names, '$5::boolean')},
         history = case when $6::jsonb is null then history else ${extendedHistory('$6::jsonb')} end
       where id = $1 and lease = $2 and not cancelled
       returning id, kind, task.lane, key, priority, position, state
     ), ${endInBatch(names, 'cancelled', `'cancelled'`)}, freed as (
       select kind, lane, key, priority, position from released where state = 'ready'
       union all select * from (${waitingFor(names.task, 'select key from released union select key from cancelled')}) as waiting
       union all table fanned
     )
     select (select count(*) from released) + (select count(*) from cancelled) as released,
       (${tellReady('freed', '$7')}),
       (select count(pg_notify($7, 'scheduled ' || ceil($3::float8 * 1000))) from released where state = 'scheduled') as "toldLater"`,
    [
      held.id,
      held.lease,
      release.seconds,
      release.lane,
      release.name === 'restore',
      release.history === null ? null : JSON.stringify(release.history),
      names.channel,
    ],
  );
  return Number(rows[0]?.['released']) > 0 ? 'done' : 'late';
}
