import { claimedColumns, type Claimed, claimedFrom } from './claimed.ts';
import type { Lane } from './lane.ts';
import { type Database, type Names } from './names.ts';

/** How many tasks with keys to claim of one kind and lane, and after whose turn. */
export interface KeysWanted {
  kind: string;
  lane: Lane;
  /** The key whose turn was last; '' to begin with the first. */
  after: string;
  limit: number;
  /** How many tasks of one key may run at once; null: any number. */
  keyConcurrency: number | null;
}

export interface KeysClaimed {
  tasks: Claimed[];
  /** The last key that was looked at; null: there was none after `after`. */
  last: string | null;
  /** `yes`: another claim took some of what this one had chosen; there may be more. */
  contended: 'yes' | 'no';
  /** `end`: no key comes after `last`. */
  reached: 'end' | 'limit';
}

/** Keys that one statement looks at, beside as many as are wanted: most of them may have no free slot. */
const LOOKED_AT = 64;

/**
 * Leases ready tasks with keys to a worker. Keys take turns: of each in the order of keys one task, then of each a second one,
 * and so on; within a key the most urgent and oldest first. A key whose slots are all taken loses its turn. Where only
 * one task of a key may run, an older one of another kind is waited for.
 *
 * The first of a limited key is taken or nothing: to skip what another claim has locked would run a younger one before it.
 *
 * It walks from key to key through the index, so that a key with a long backlog costs as much as one with a single task.
 *
 * @throws {DatabaseError} 23505 when another claim, invisible to this one, took the same slot of a key: claim again.
 */
export async function claimFromKeys(
  db: Database,
  names: Names,
  workerId: string,
  wanted: KeysWanted,
): Promise<KeysClaimed> {
  const lookedAt = LOOKED_AT + wanted.limit;
  const { rows } = await db.query(
    `with recursive walk as (
       (select key, 1 as turn from ${names.task} as task
        where kind = $2 and lane = $3 and state = 'ready' and key is not null and key > $4 order by key limit 1)
       union all
       select next.key, walk.turn + 1 from walk cross join lateral (
         select key from ${names.task} as task
         where kind = $2 and lane = $3 and state = 'ready' and key is not null and key > walk.key order by key limit 1
       ) as next
       where walk.turn < $7
     ), free as (
       select walk.key, walk.turn, case when $6::int is null then null else array(
         select slot from generate_series(1, $6::int) as slot
         where not exists (select from ${names.task} as running
           where running.state = 'running' and running.key = walk.key and running.key is not null and running.key_slot = slot)
       ) end as slots
       from walk
     ), candidate as (
       select picked.id, free.key, free.turn, free.slots
       from free cross join lateral (
         select task.id from ${names.task} as task
         where task.kind = $2 and task.lane = $3 and task.state = 'ready' and task.key is not null and task.key = free.key
           and ($6::int is distinct from 1 or not exists (
             select from ${names.task} as older
             where older.state = 'ready' and older.key is not null and older.key = free.key and older.position < task.position
               and older.kind <> task.kind
           ))
         order by task.priority, task.position
         limit case when free.slots is null then $5 else least($5, cardinality(free.slots)) end
         ${wanted.keyConcurrency === null ? 'for update of task skip locked' : ''}
       ) as picked
       where exists (select from ${names.worker} where id = $1 and gone_at is null)
     ), ranked as (
       select id, key, turn, slots, row_number() over (partition by key) as rank from candidate
     ), chosen as (
       select id, slots[rank] as slot from ranked order by rank, turn limit $5
     ), locked as materialized (
       select id from ${names.task} as task where id = any(array(select id from chosen)) and state = 'ready' for update skip locked
     ), claimed as (
       update ${names.task} as task
       set state = 'running', worker_id = $1, lease = lease + 1, attempts = attempts + 1, waits_as = null,
         key_slot = (select slot from chosen where chosen.id = task.id)
       where id = any(array(select id from locked))
       returning ${claimedColumns}
     )
     select claimed.*, walked.last, walked.count, walked.chosen from (
       select (select key from walk order by turn desc limit 1) as last, (select count(*) from walk)::int as count,
         (select count(*) from chosen)::int as chosen
     ) as walked left join claimed on true`,
    [workerId, wanted.kind, wanted.lane, wanted.after, wanted.limit, wanted.keyConcurrency, lookedAt],
  );
  const first = rows[0] ?? {};
  const tasks = claimedFrom(rows.filter((row) => row['id'] !== null));
  return {
    tasks,
    contended: tasks.length < Number(first['chosen']) ? 'yes' : 'no',
    last: typeof first['last'] === 'string' ? first['last'] : null,
    reached: Number(first['count']) < lookedAt ? 'end' : 'limit',
  };
}
