import { type Database, type Names } from './names.ts';

export interface NewTask {
  kind: string;
  payload: unknown;
  /** Milliseconds since 1970; null: see `delaySeconds`. */
  runAt: number | null;
  delaySeconds: number;
  priority: number;
  key: string | null;
  unique: string | null;
  lossesAllowed: number;
  notify: 'now' | 'later';
}

export interface Enqueued {
  id: string;
  state: 'scheduled' | 'ready';
  /** Milliseconds until it is due, 0 when it is. */
  dueInMs: number;
}

/**
 * Adds a task, or finds the waiting one with the same unique name, which then takes the earlier time and the more urgent
 * priority of both. Concurrent calls meet in the unique index, so that one adds and the others find.
 */
export async function insertTask(db: Database, names: Names, task: NewTask): Promise<Enqueued> {
  const { rows } = await db.query(
    `with wanted as (
       select coalesce(to_timestamp($3::float8 / 1000), clock_timestamp() + $4::float8 * interval '1 second') as at
     ), added as (
       insert into ${names.task} as task (kind, payload, state, run_at, priority, key, unique_name, waits_as, losses_allowed)
       select $1, $2::jsonb, case when at <= clock_timestamp() then 'ready' else 'scheduled' end, at, $5, $6, $7, $7, $8 from wanted
       on conflict (kind, waits_as) where waits_as is not null do update set
         run_at = least(task.run_at, excluded.run_at),
         priority = least(task.priority, excluded.priority),
         state = case when task.state = 'ready' or excluded.state = 'ready' then 'ready' else 'scheduled' end
       returning id, kind, state, greatest(0, ceil(extract(epoch from run_at - clock_timestamp()) * 1000))::float8 as "dueInMs"
     )
     select id, state, "dueInMs",
       case when $9 then pg_notify($10, case state when 'ready' then 'ready ' || kind else 'scheduled ' || "dueInMs" end) end
     from added`,
    [
      task.kind,
      JSON.stringify(task.payload ?? null),
      task.runAt,
      task.delaySeconds,
      task.priority,
      task.key,
      task.unique,
      task.lossesAllowed,
      task.notify === 'now',
      names.channel,
    ],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('PostgreSQL added a task, but did not return it');
  return {
    id: String(row['id']),
    state: row['state'] === 'ready' ? 'ready' : 'scheduled',
    dueInMs: Number(row['dueInMs']),
  };
}
