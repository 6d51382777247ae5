import { endInBatch } from './batch.ts';
import type { Held, Verdict } from './finish.ts';
import { type Database, type Names } from './names.ts';
import { type EndCause, extendedHistory, type HistoryEntry } from './release.ts';
import { tellReady, waitingFor } from './tell.ts';

/**
 * | cause | |
 * | --- | --- |
 * | retries-used    | its handler threw, once more than the kind allows retries |
 * | discarded       | its handler threw `Discard` |
 * | invalid-payload | its payload does not match the kind's schema |
 * | input-missing   | its payload or input is not in the object store any more, or is damaged |
 * | lost            | the process that worked on it died, too often |
 * | crashed         | its own process died, too often |
 * | out-of-memory   | it ran out of memory where there is no bigger lane |
 * | timed-out       | it ran out of time where there is no bigger lane |
 */
export const deathCauses = [
  'retries-used',
  'discarded',
  'invalid-payload',
  'input-missing',
  'lost',
  'crashed',
  'out-of-memory',
  'timed-out',
] as const;
export type DeathCause = (typeof deathCauses)[number];

/** What the attempt counts as whose end was the task's death. */
export const endedBy = {
  'retries-used': 'error',
  discarded: 'error',
  'invalid-payload': 'error',
  'input-missing': 'error',
  lost: 'lost',
  crashed: 'crash',
  'out-of-memory': 'oom',
  'timed-out': 'timeout',
} as const satisfies Record<DeathCause, EndCause>;

/** Columns that a task and a dead task share. */
export const buriedColumns = `id, kind, lane, payload, priority, key, unique_name, lease, attempts, failures, interruptions, losses,
  crashes, ooms, timeouts, losses_allowed, keep_seconds, batch_id, trace, created_at`;

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
     ), ${endInBatch(names, 'gone', `case when cancelled then 'cancelled' else 'dead' end`)}, freed as (
       ${waitingFor(names.task, 'select key from gone')}
     ), told as (
       ${tellReady('(table fanned union all table freed)', '$6')}
     )
     select count(*) as gone, (select told from told) as told from gone`,
    [held.id, held.lease, JSON.stringify(death.entry), death.cause, death.entry.message, names.channel],
  );
  return Number(rows[0]?.['gone']) > 0 ? 'done' : 'late';
}
