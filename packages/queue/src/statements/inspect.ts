import { stateOf } from './bundle.ts';
import type { DeathCause } from './bury.ts';
import type { Lane } from './lane.ts';
import type { Database, Names } from './names.ts';
import type { HistoryEntry } from './release.ts';

export type TaskState = 'scheduled' | 'blocked' | 'ready' | 'running' | 'done' | 'dead';

/** What is known of a task. Of one that is done, only what its kind keeps. */
export interface TaskView {
  id: string;
  kind: string;
  lane: Lane;
  state: TaskState;
  /** As it is stored; null once it is done. */
  payload: unknown;
  key: string | null;
  priority: number;
  attempts: number;
  failures: number;
  interruptions: number;
  losses: number;
  crashes: number;
  ooms: number;
  timeouts: number;
  /** What the running attempt told last, or the one before it. */
  progress: unknown;
  /** How its attempts ended that did not finish it, oldest first, the last 20. */
  history: HistoryEntry[];
  result: unknown;
  /** Files that the attempt left, by name. */
  output: unknown;
  /** Why it is dead. */
  cause: DeathCause | null;
  error: string | null;
  batchId: string | null;
  createdAt: Date;
  /** When it is due, or was last. */
  runAt: Date | null;
  /** When it was done, or died. */
  endedAt: Date | null;
}

/** Rows that one page looks through at most. */
const LOOKED_AT = 10_000;

/** What is known of one task; null: nothing (any more). */
export async function readTask(db: Database, names: Names, taskId: string): Promise<TaskView | null> {
  const { rows } = await db.query(
    sources(names)
      .map(({ table, columns }) => `select ${columns} from ${table} as task where id = $1`)
      .join(' union all '),
    [taskId],
  );
  return rows[0] === undefined ? null : viewOf(rows[0]);
}

export interface TaskPage {
  tasks: TaskView[];
  /** Where the next page begins; null: there is none. */
  next: string | null;
}

/**
 * Tasks by their ids, the oldest first. A page reads 10,000 rows at most, so it may hold fewer tasks than asked for, and
 * even none, while there are more: as long as `next` is not null.
 */
export async function listTasks(
  db: Database,
  names: Names,
  filter: { kind: string | null; state: TaskState | null; after: string; limit: number },
): Promise<TaskPage> {
  const wanted = sources(names).filter(({ states }) => filter.state === null || states.includes(filter.state));
  const pages = await Promise.all(wanted.map((source) => readPage(db, source, filter)));
  // What lies behind the end of the shortest look belongs to the next page.
  const ends = pages.flatMap(({ end }) => (end === null ? [] : [BigInt(end)]));
  const found = pages
    .flatMap(({ tasks }) => tasks)
    .filter(({ id }) => ends.every((end) => BigInt(id) <= end))
    .toSorted((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1));
  const tasks = found.slice(0, filter.limit);
  const more = found.length > tasks.length ? tasks.at(-1)?.id : undefined;
  const end = ends.reduce<bigint | null>((least, one) => (least === null || one < least ? one : least), null);
  return { tasks, next: more ?? end?.toString() ?? null };
}

async function readPage(
  db: Database,
  { table, columns }: ReturnType<typeof sources>[number],
  filter: { kind: string | null; state: TaskState | null; after: string; limit: number },
): Promise<{ tasks: TaskView[]; end: string | null }> {
  const { rows } = await db.query(
    `with looked as (
       select * from ${table} as task where id > $1 order by id limit ${LOOKED_AT}
     ), found as (
       select * from (select ${columns} from looked as task) as task where ($2::text is null or kind = $2) and ($3::text is null or state = $3)
       order by id::bigint limit $4
     )
     select found.*, seen.count, seen.last from (select count(*)::int as count, max(id)::text as last from looked) as seen left join found on true
     order by found.id::bigint`,
    [filter.after, filter.kind, filter.state, filter.limit],
  );
  const tasks = rows.filter((row) => row['id'] !== null).map(viewOf);
  if (tasks.length === filter.limit) return { tasks, end: tasks.at(-1)?.id ?? null };
  return { tasks, end: Number(rows[0]?.['count']) === LOOKED_AT ? String(rows[0]?.['last']) : null };
}

/** Where tasks are, and how their columns are called there. */
function sources(names: Names): { table: string; states: readonly TaskState[]; columns: string }[] {
  const shared = `id::text as id, kind, lane, key, attempts, created_at as "createdAt"`;
  const counters = 'priority, failures, interruptions, losses, crashes, ooms, timeouts, history, payload';
  const none = (type: string, ...columns: string[]) => columns.map((name) => `null::${type} as "${name}"`).join(', ');
  return [
    {
      table: names.task,
      states: ['scheduled', 'blocked', 'ready', 'running'],
      columns: `${shared}, ${stateOf(names)} as state, ${counters}, progress, batch_id::text as "batchId", ${none('json', 'result', 'output')},
        ${none('text', 'cause', 'error')}, run_at as "runAt", ${none('timestamptz', 'endedAt')}`,
    },
    {
      table: names.dead,
      states: ['dead'],
      columns: `${shared}, 'dead' as state, ${counters}, null::json as progress, batch_id::text as "batchId", ${none('json', 'result', 'output')},
        cause, error, ${none('timestamptz', 'runAt')}, died_at as "endedAt"`,
    },
    {
      table: names.done,
      states: ['done'],
      columns: `${shared}, 'done' as state, 0 as priority, 0 as failures, 0 as interruptions, 0 as losses, 0 as crashes, 0 as ooms, 0 as timeouts,
        '[]'::jsonb as history, null::json as payload, null::json as progress, ${none('text', 'batchId')}, result, output,
        ${none('text', 'cause', 'error')}, ${none('timestamptz', 'runAt')}, finished_at as "endedAt"`,
    },
  ];
}

function viewOf(row: Record<string, unknown>): TaskView {
  const { count: _count, last: _last, ...view } = row;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
  return view as unknown as TaskView;
}
