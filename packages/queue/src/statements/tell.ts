/**
 * What processes tell each other over the queue's channel. A notification is a hint: one that got lost is made up for by the
 * look that every process takes now and then.
 *
 * | notification | when |
 * | --- | --- |
 * | `ready KIND LANE PRIORITY POSITION` | tasks without a key became ready; the first of them has this place in line |
 * | `keyed KIND LANE` | tasks with a key became ready, or their key became free |
 * | `scheduled MILLISECONDS` | a task was added or given back that is due in that time |
 * | `cancel ID` | a running task was cancelled |
 */
export type Notification =
  | { what: 'ready'; kind: string; lane: string; priority: number; position: number }
  | { what: 'keyed'; kind: string; lane: string }
  | { what: 'scheduled'; inMs: number }
  | { what: 'cancel'; taskId: string };

/** @returns null for what this version does not know. */
export function parseNotification(payload: string): Notification | null {
  const [what, first = '', second = '', third, fourth] = payload.split(' ');
  if (what === 'ready') {
    return { what, kind: first, lane: second, priority: Number(third ?? 0), position: Number(fourth ?? 0) };
  }
  if (what === 'keyed') return { what, kind: first, lane: second };
  if (what === 'scheduled') return { what, inMs: Number(first) };
  if (what === 'cancel') return { what, taskId: first };
  return null;
}

/** The text of the notification about a task without a key. */
export function readyNotification(task: { kind: string; lane: string; priority: number; position: number }): string {
  return `ready ${task.kind} ${task.lane} ${task.priority} ${task.position}`;
}

/**
 * A query that tells about tasks that became ready: once for each kind, lane and priority.
 *
 * @param relation has `kind, lane, key, priority, position`.
 * @param channel a parameter, such as `$3`.
 */
export function tellReady(relation: string, channel: string): string {
  return `select count(pg_notify(${channel}, case
      when keyed then concat_ws(' ', 'keyed', kind, lane) else concat_ws(' ', 'ready', kind, lane, priority, first) end)) as told
    from (
      select kind, lane, key is not null as keyed, case when key is null then priority end as priority, min(position) as first
      from ${relation} as became group by 1, 2, 3, 4
    ) as news`;
}

/** A query for tasks that wait for keys: `kind, lane, key, priority, position`, one row for each kind and lane. */
export function waitingFor(task: string, keys: string): string {
  return `select distinct on (kind, lane) kind, lane, key, priority, position from ${task}
    where state = 'ready' and key is not null and key in (${keys})`;
}
