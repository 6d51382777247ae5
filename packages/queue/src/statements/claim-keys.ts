import type { Rate } from '../rate.ts';
import { claimedColumns, type Claimed, claimedFrom } from './claimed.ts';
import { onLastChance } from './last-chance.ts';
import type { Lane } from './lane.ts';
import { type Database, type Names } from './names.ts';
import { rateOf } from './rate.ts';

/**
 * Which keys to look at.
 *
 * | what | |
 * | --- | --- |
 * | walk | so many of those that have something ready, in order, after `after` and up to `until` (null: to the last) |
 * | keys | these |
 */
export type KeyLook =
  | { what: 'walk'; after: string; until: string | null; count: number }
  | { what: 'keys'; keys: string[] };

/** How many tasks with keys to claim of one kind and lane. */
export interface KeysWanted {
  kind: string;
  lane: Lane;
  limit: number;
  /** How many tasks of one key may run at once; null: any number. */
  keyConcurrency: number | null;
  /** How many tasks of one key may start in a time. Such claims of one kind must not run at the same time. */
  keyRate: Rate | null;
  /** Whether one on its last chance may be among them: see `isOnLastChance`. Default `one`. */
  lastChance?: 'one' | 'none';
  look: KeyLook;
}

/** A key that was looked at, as it was before the claim. */
export interface KeySeen {
  key: string;
  claimed: number;
  /** `more`: there is more that could be claimed now. `taken`: all its slots are. `early`: its rate lets nothing through yet. */
  left: 'more' | 'nothing' | 'taken' | 'early';
  /** Milliseconds until its rate lets a task through. */
  dueInMs: number;
}

export interface KeysClaimed {
  tasks: Claimed[];
  /** In the order of their turns. */
  seen: KeySeen[];
  /** Keys with tasks on their last chance that were passed over. */
  passed: string[];
  /** `end`: all keys of the look were looked at. */
  reached: 'end' | 'limit';
}

/**
 * Leases ready tasks with keys to a worker. Keys take turns: of each in the order of the look one task, then of each a second one,
 * and so on; within a key the most urgent and oldest first. A key whose slots are all taken, or whose time has not come, loses its turn.
 * Where only one task of a key may run, a kind waits until the oldest task of the key is one of its own.
 *
 * The first of a limited key is taken or nothing: to skip what another claim has locked would run a younger one before it.
 *
 * It reads a few rows of each key, however long its backlog is.
 *
 * @throws {DatabaseError} 23505 when another claim, invisible to this one, took the same slot of a key: claim again.
 */
export async function claimFromKeys(
  db: Database,
  names: Names,
  workerId: string,
  wanted: KeysWanted,
): Promise<KeysClaimed> {
  const { look, kind, lane, limit, keyConcurrency, keyRate, lastChance = 'one' } = wanted;
  // Where only one task of a key may run, none goes before its first.
  const passing = keyConcurrency !== 1 && lastChance === 'none' ? 'before the choice' : 'in the choice';
  const values: unknown[] = [workerId, kind, lane, limit];
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const waiting = `task.kind = $2 and task.lane = $3 and task.state = 'ready' and task.key is not null and task.key = roomy.key`;
  const passed =
    passing === 'in the choice'
      ? 'select array_agg(key) from ranked where last and id not in (select id from chosen)'
      : `select array_agg(key) from roomy cross join share where room > 0 and exists (
           select from (
             select ${onLastChance('task')} as last from ${names.task} as task
             where ${waiting} order by task.priority, task.position limit least(roomy.room, share.most)
           ) as first where last
         )`;
  const text = `with recursive walk as (
       ${walk(names, look, parameter)}
     ), clock as materialized (
       select clock_timestamp() as now
     ), looked as materialized (
       select walk.key, walk.turn, ${keyConcurrency === null ? 'null::int[]' : 'free.slots'} as slots, ${keyRate === null ? 'null::int' : 'tokens.number'} as tokens,
         ${keyRate === null ? '0::float8' : 'tokens.due'} as due
       from walk cross join clock
       ${keyConcurrency === null ? '' : freeSlots(names, parameter(keyConcurrency, 'int'))}
       ${keyRate === null ? '' : tokensOf(names, keyRate, parameter)}
     ), roomy as materialized (
       select looked.*, least($4, coalesce(cardinality(slots), $4), coalesce(tokens, $4)) as room from looked
     ), share as materialized (
       select ceil($4::float8 / greatest(1, count(*)))::int as most from roomy where room > 0
     ), candidate as materialized (
       select picked.*, roomy.key, roomy.turn, roomy.slots
       from roomy cross join share cross join lateral (
         select task.id, task.priority, task.position, ${onLastChance('task')} as last from ${names.task} as task
         where ${waiting}${passing === 'before the choice' ? ` and not ${onLastChance('task')}` : ''}
         order by task.priority, task.position
         limit least(roomy.room, share.most)
         ${keyConcurrency === null ? 'for update of task skip locked' : ''}
       ) as picked
       where room > 0 and exists (select from ${names.worker} where id = $1 and gone_at is null)
         ${keyConcurrency === 1 ? `and ${isOwnTurn(names)}` : ''}
     ), ranked as (
       select id, key, turn, slots, last, row_number() over (partition by key order by priority, position) as rank from candidate
     ), chosen as materialized (
       select id, rank, turn, slots[rank] as slot from ranked
       where not last${lastChance === 'one' ? ' or id = (select id from ranked where last order by rank, turn limit 1)' : ''}
       order by rank, turn limit $4
     ), locked as materialized (
       select id from ${names.task} as task where id = any(array(select id from chosen)) and state = 'ready' for update skip locked
     ), claimed as (
       update ${names.task} as task
       set state = 'running', worker_id = $1, lease = lease + 1, attempts = attempts + 1, waits_as = null,
         key_slot = (select slot from chosen where chosen.id = task.id)
       where id = any(array(select id from locked))
       returning ${claimedColumns}
     )${keyRate === null ? '' : `, ${spent(names, keyRate, parameter)}`}
     select claimed.*, ${['keys', 'rooms', 'dues', 'candidates', 'most', 'turns', 'passed'].map((name) => `case when row_number() over () = 1 then seen.${name} end as ${name}`).join(', ')}
     from (
       select (select array_agg(key order by turn) from roomy) as keys, (select array_agg(room order by turn) from roomy) as rooms,
         (select array_agg(due order by turn) from roomy) as dues, (select array_agg(key) from candidate) as candidates,
         (select most from share) as most, (select array_agg(id::text order by rank, turn) from chosen) as turns,
         (${passed}) as passed
     ) as seen left join claimed on true`;
  const { rows } = await db.query(text, values);
  const turns = new Map(list(rows[0]?.['turns']).map((id, index) => [id, index]));
  const tasks = claimedFrom(rows.filter((row) => row['id'] !== null));
  tasks.sort((a, b) => (turns.get(a.id) ?? 0) - (turns.get(b.id) ?? 0));
  const passedKeys = list(rows[0]?.['passed']).map(String);
  const seen = keysSeen(rows[0] ?? {}, tasks, {
    whenFull: keyConcurrency === null || keyRate !== null ? 'look again' : 'be told',
    passed: passing === 'in the choice' ? passedKeys : [],
    behindPassed: keyConcurrency === 1 ? 'waits' : 'goes on',
  });
  return {
    tasks,
    seen,
    passed: passedKeys,
    reached: look.what === 'walk' && seen.length >= look.count ? 'limit' : 'end',
  };
}

type Parameter = (value: unknown, type: string) => string;

/** From key to key through the index, so that a key with a long backlog costs as much as one with a single task. */
function walk(names: Names, look: KeyLook, parameter: Parameter): string {
  if (look.what === 'keys') {
    return `select key collate "C" as key, turn::int as turn from unnest(${parameter(look.keys, 'text[]')}) with ordinality as named (key, turn)`;
  }
  const until = look.until === null ? '' : `and key <= ${parameter(look.until, 'text')}`;
  const next = (after: string) =>
    `select key from ${names.task} as task
     where kind = $2 and lane = $3 and state = 'ready' and key is not null and key > ${after} ${until} order by key limit 1`;
  return `(select key, 1 as turn from (${next(parameter(look.after, 'text'))}) as first)
    union all
    select next.key, walk.turn + 1 from walk cross join lateral (${next('walk.key')}) as next
    where walk.turn < ${parameter(look.count, 'int')}`;
}

/** The first slots that no running task of the key holds. */
function freeSlots(names: Names, most: string): string {
  return `cross join lateral (
      select array(
        select key_slot from ${names.task} as running
        where running.state = 'running' and running.key is not null and running.key = walk.key and running.key_slot is not null
      ) as slots
    ) as taken cross join lateral (
      select array(
        select slot from generate_series(1, least(${most}, $4 + cardinality(taken.slots))) as slot
        where slot <> all(taken.slots) order by slot limit $4
      ) as slots
    ) as free`;
}

/** Whether the oldest task that waits for the key is of this kind and lane: then no other kind may go, and this one may. */
function isOwnTurn(names: Names): string {
  return `(
      select oldest.kind = $2 and oldest.lane = $3 from ${names.task} as oldest
      where oldest.state = 'ready' and oldest.key is not null and oldest.key = roomy.key order by oldest.position limit 1
    )`;
}

function tokensOf(names: Names, rate: Rate, parameter: Parameter): string {
  const { tokens, dueInMs } = rateOf(parameter(rate.seconds / rate.limit, 'float8'), parameter(rate.burst, 'float8'));
  return `left join ${names.rate} as rate on rate.name = $2 || ' ' || walk.key
    cross join lateral (select ${tokens('rate.tat', 'clock.now')} as number, ${dueInMs('rate.tat', 'clock.now')} as due) as tokens`;
}

function spent(names: Names, rate: Rate, parameter: Parameter): string {
  const { spend } = rateOf(parameter(rate.seconds / rate.limit, 'float8'), parameter(rate.burst, 'float8'));
  return `spent as (
      insert into ${names.rate} as rate (name, tat)
      select $2 || ' ' || key, ${spend('tat', 'now', 'number')} from (
        select key, count(*) as number, (select now from clock) as now,
          (select tat from ${names.rate} as known where known.name = $2 || ' ' || key) as tat
        from claimed group by key
      ) as started
      on conflict (name) do update set tat = excluded.tat
    )`;
}

function keysSeen(
  row: Record<string, unknown>,
  tasks: readonly Claimed[],
  how: {
    whenFull: 'look again' | 'be told';
    /** Keys of candidates that were passed over. */
    passed: readonly string[];
    behindPassed: 'waits' | 'goes on';
  },
): KeySeen[] {
  const claimed = countsOf(tasks.map(({ key }) => key));
  const candidates = countsOf(list(row['candidates']));
  const passed = countsOf(how.passed);
  const rooms = list(row['rooms']).map(Number);
  const dues = list(row['dues']).map(Number);
  const most = Number(row['most']);
  return list(row['keys']).map((value, index) => {
    const key = String(value);
    const [room = 0, dueInMs = 0] = [rooms[index], dues[index]];
    const [got = 0, found = 0, over = 0] = [claimed.get(key), candidates.get(key), passed.get(key)];
    if (room === 0) return { key, claimed: got, left: dueInMs > 0 ? 'early' : 'taken', dueInMs };
    // Behind those that were passed over, the next look finds others: it leaves them out.
    const hidden = over > 0 && found === Math.min(room, most) && how.behindPassed === 'goes on';
    const short = got + over < found || hidden || (found > 0 && found === most && room > most);
    // Nobody tells when a rate lets through the next; the next look does.
    const usedUp = got > 0 && got === room && how.whenFull === 'look again';
    return { key, claimed: got, left: short || usedUp ? 'more' : 'nothing', dueInMs };
  });
}

function countsOf(keys: readonly unknown[]): Map<unknown, number> {
  const counts = new Map<unknown, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
