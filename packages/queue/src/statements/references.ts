import type { Database, Names } from './names.ts';

/**
 * A JSON string that could be the key of an object, without its quotes. It may begin at an escaped quote within another string, and then
 * takes the rest of that: such a key is kept in vain, and none is overlooked.
 */
const KEY = String.raw`"((?:payload|input|output)/(?:[^"\\]|\\.)*)"`;

/**
 * Every key that tasks name: as their payload (`$object`), as input (`$files`), as the output of one that is done and kept, or anywhere else in
 * what is stored of them, such as the key of another task's output in a payload. All of them as they were at one moment, so that no task that
 * moves from one table to another meanwhile is overlooked.
 */
export async function readNamedKeys(db: Database, names: Names): Promise<Set<string>> {
  const places = [
    [names.task, 'payload', 'progress'],
    [names.dead, 'payload'],
    [names.done, 'result', 'output'],
    [names.batchResult, 'result'],
    [names.cron, 'task'],
  ] as const;
  const texts = places.flatMap(([table, ...columns]) =>
    columns.map((name) => `select ${name}::text as text from ${table}`),
  );
  const { rows } = await db.query(
    `select distinct found.key[1] as key
     from (${texts.join(' union all ')}) as stored cross join lateral regexp_matches(stored.text, $1, 'g') as found (key)
     -- Cheaper than the expression, and most rows name nothing.
     where stored.text like any (array['%"payload/%', '%"input/%', '%"output/%'])`,
    [KEY],
  );
  return new Set(rows.flatMap((row) => unescaped(String(row['key']))));
}

/** The keys that a payload names. @param json Its JSON; of a damaged one, what can still be read. */
export function keysNamedIn(json: string): string[] {
  return [...json.matchAll(new RegExp(KEY, 'g'))].flatMap(([, key = '']) => unescaped(key));
}

function unescaped(text: string): string[] {
  try {
    return [String(JSON.parse(`"${text}"`))];
  } catch {
    return []; // an escape that is none: only in what was damaged
  }
}

/** Those of these tasks that wait or run. */
export async function liveTasks(db: Database, names: Names, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const { rows } = await db.query(`select id::text from ${names.task} where id = any($1::bigint[])`, [ids]);
  return new Set(rows.map((row) => String(row['id'])));
}
