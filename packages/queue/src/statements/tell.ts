/**
 * What processes tell each other over the queue's channel. A notification is a hint: one that got lost is made up for by the
 * look that every process takes now and then.
 *
 * | notification | when |
 * | --- | --- |
 * | `ready KIND LANE PRIORITY POSITION` | tasks without a key became ready; the first of them has this place in line |
 * | `keyed KIND LANE KEY` | tasks with that key became ready, or the key became free |
 * | `keyed KIND LANE` | the same of many keys |
 * | `scheduled MILLISECONDS` | a task was added or given back that is due in that time |
 * | `cron MILLISECONDS` | a schedule was entered or changed; its next tick is in that time |
 * | `cancel ID` | a running task was cancelled |
 */
export type Notification =
  | { what: 'ready'; kind: string; lane: string; priority: number; position: number }
  | { what: 'keyed'; kind: string; lane: string; key: string | null }
  | { what: 'scheduled' | 'cron'; inMs: number }
  | { what: 'cancel'; taskId: string };

/** @returns null for what this version does not know. */
export function parseNotification(payload: string): Notification | null {
  const [what, first = '', second = '', third, fourth] = payload.split(' ');
  if (what === 'ready') {
    return { what, kind: first, lane: second, priority: Number(third ?? 0), position: Number(fourth ?? 0) };
  }
  // The key is the rest, whatever it holds.
  if (what === 'keyed') {
    const key = third === undefined ? null : payload.slice(`keyed ${first} ${second} `.length);
    return { what, kind: first, lane: second, key };
  }
  if (what === 'scheduled' || what === 'cron') return { what, inMs: Number(first) };
  if (what === 'cancel') return { what, taskId: first };
  return null;
}

/** The text of the notification about a task without a key. */
export function readyNotification(task: { kind: string; lane: string; priority: number; position: number }): string {
  return `ready ${task.kind} ${task.lane} ${task.priority} ${task.position}`;
}

/** The text of the notification about a task with a key. */
export function keyedNotification({ kind, lane, key }: { kind: string; lane: string; key: string }): string {
  return `keyed ${kind} ${lane} ${key}`;
}

/** Of more keys than that at once, none is named. */
const MOST_KEYS = 20;

/**
 * A query that tells about tasks that became ready: once for each kind, lane, and priority or key.
 *
 * @param relation has `kind, lane, key, priority, position`.
 * @param channel a parameter, such as `$3`.
 */
export function tellReady(relation: string, channel: string): string {
  return `select count(pg_notify(${channel}, news)) as told from (
      select concat_ws(' ', 'ready', kind, lane, priority, min(position)) as news
      from ${relation} as became where key is null group by kind, lane, priority
      union all
      select unnest(case when count(*) <= ${MOST_KEYS} and max(octet_length(key)) < 7000
        then array_agg(concat_ws(' ', 'keyed', kind, lane, key)) else array[concat_ws(' ', 'keyed', kind, lane)] end)
      from (select distinct kind, lane, key from ${relation} as became where key is not null) as keyed group by kind, lane
    ) as news`;
}

/**
 * A query for tasks that wait for keys: `kind, lane, key, priority, position`, one row for each kind, lane and key. It goes from kind
 * to kind through the index, so that a long backlog costs as much as one task.
 */
export function waitingFor(task: string, keys: string): string {
  const keyed = `from ${task} as task where task.state = 'ready' and task.key is not null`;
  return `with recursive line as (
      (select kind, lane ${keyed} order by kind, lane limit 1)
      union all
      select next.kind, next.lane from line cross join lateral (
        select kind, lane ${keyed} and (kind, lane) > (line.kind, line.lane) order by kind, lane limit 1
      ) as next
    )
    select waiting.* from (select distinct key from (${keys}) as held where key is not null) as freed_key cross join line cross join lateral (
      select kind, lane, key, priority, position ${keyed} and task.kind = line.kind and task.lane = line.lane and task.key = freed_key.key
      order by priority, position limit 1
    ) as waiting`;
}
