import type { Lane } from './lane.ts';
import { type Database, type Names, numbersIn } from './names.ts';
import { tellReady } from './tell.ts';

/** What all tasks of one call share. */
export interface NewTasks {
  kind: string;
  lane: Lane;
  lossesAllowed: number;
  keepSeconds: number;
  /** W3C traceparent. */
  trace: string | null;
  batchId: string | null;
  state: 'by-time' | 'blocked';
  notify: 'now' | 'later';
}

export interface NewTask {
  payload: unknown;
  /** Milliseconds since 1970; absent: see `delay`. */
  runAt?: number;
  /** Seconds. */
  delay?: number;
  priority?: number;
  key?: string;
  /** At most once in a call. */
  unique?: string;
}

export interface Enqueued {
  id: string;
  state: 'scheduled' | 'ready' | 'blocked';
  position: number;
  /** Milliseconds until it is due, 0 when it is. */
  dueInMs: number;
}

/**
 * Adds tasks in their order, or finds those that wait under the same unique names, which then take the earlier time and the more urgent
 * priority of both. Concurrent calls meet in the unique index, so that one adds and the others find.
 *
 * They travel as one array for each column, the payloads as a JSON array; of a column that no task has, the array is empty. Nothing looks for
 * unique names where there are none: for each row that costs PostgreSQL a lock and an entry of its log.
 */
export async function insertTasks(
  db: Database,
  names: Names,
  all: NewTasks,
  tasks: readonly NewTask[],
): Promise<Enqueued[]> {
  const { rows } = await db.query(
    `with added as (
       insert into ${names.task} as task
         (id, position, kind, lane, losses_allowed, keep_seconds, trace, batch_id, payload, state, run_at, priority, key, unique_name, waits_as)
       overriding system value
       select number, number, $1, $2, $3, $4, $5, $6::bigint, payload,
         case when $7 then 'blocked' when at <= clock_timestamp() then 'ready' else 'scheduled' end,
         at, coalesce(priority, 0), key, "unique", "unique"
       from (
         select item.*, nextval(${names.position}) as number, case
           when "runAt" is not null then to_timestamp("runAt" / 1000)
           when delay is not null then clock_timestamp() + delay * interval '1 second'
           else statement_timestamp() end as at
         from rows from (
           json_array_elements($8::json), unnest($11::float8[]), unnest($12::float8[]), unnest($13::int[]), unnest($14::text[]), unnest($15::text[])
         ) as item (payload, "runAt", delay, priority, key, "unique")
       ) as item
       ${tasks.some(({ unique }) => unique !== undefined) ? orFound : ''}
       returning id, kind, lane, key, priority, position, state,
         case when state = 'scheduled' then greatest(0, ceil(date_part('epoch', run_at - clock_timestamp()) * 1000)) else 0 end as due
     ), became as (
       select * from added where state = 'ready' and $9
     ), told as (
       ${tellReady('became', '$10')}
       union all
       select count(pg_notify($10, 'scheduled ' || due)) from (
         select min(due) as due from added where state = 'scheduled' and $9 having count(*) > 0
       ) as soonest
     )
     select array_agg(id)::text as ids, case when bool_or(state <> 'ready') then (select string_agg(left(state, 1), '') from added) end as states,
       array_agg(position)::text as positions, case when max(due) > 0 then (select array_agg(due)::text from added) end as due,
       (select sum(told) from told) as told
     from added`,
    [
      all.kind,
      all.lane,
      all.lossesAllowed,
      all.keepSeconds,
      all.trace,
      all.batchId,
      all.state === 'blocked',
      `[${tasks.map(({ payload }) => JSON.stringify(payload ?? null)).join(',')}]`,
      all.notify === 'now',
      names.channel,
      column(tasks, ({ runAt }) => runAt),
      column(tasks, ({ delay }) => delay),
      column(tasks, ({ priority }) => priority),
      column(tasks, ({ key }) => key),
      column(tasks, ({ unique }) => unique),
    ],
  );
  const row = rows[0] ?? {};
  const { ids, positions, due } = row;
  if (typeof ids !== 'string' || typeof positions !== 'string')
    throw new Error('PostgreSQL added tasks, but did not return them');
  const places = numbersIn(positions);
  const dues = typeof due === 'string' ? numbersIn(due) : null;
  const states = typeof row['states'] === 'string' ? row['states'] : null; // null: all are ready
  return numbersIn(ids).map((id, index) => ({
    id,
    state: stateOf(states?.[index] ?? 'r'),
    position: Number(places[index]),
    dueInMs: dues === null ? 0 : Number(dues[index]),
  }));
}

function stateOf(initial: string): Enqueued['state'] {
  return initial === 'r' ? 'ready' : initial === 's' ? 'scheduled' : 'blocked';
}

const orFound = `on conflict (kind, waits_as) where waits_as is not null do update set
         run_at = least(task.run_at, excluded.run_at),
         priority = least(task.priority, excluded.priority),
         state = case when task.state = 'ready' or excluded.state = 'ready' then 'ready' else 'scheduled' end`;

function column<T>(tasks: readonly NewTask[], value: (task: NewTask) => T | undefined): (T | null)[] {
  return tasks.some((task) => value(task) !== undefined) ? tasks.map((task) => value(task) ?? null) : [];
}
