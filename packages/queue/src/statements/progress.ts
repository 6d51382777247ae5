import type { Database, Names } from './names.ts';

/** Writes how far tasks are, each only under the lease it runs with. */
export async function writeProgress(
  db: Database,
  names: Names,
  news: readonly { id: string; lease: string; value: unknown }[],
): Promise<void> {
  await db.query(
    `update ${names.task} as task set progress = news.value::json
     from unnest($1::bigint[], $2::bigint[], $3::text[]) as news (id, lease, value)
     where task.id = news.id and task.lease = news.lease`,
    [news.map(({ id }) => id), news.map(({ lease }) => lease), news.map(({ value }) => JSON.stringify(value ?? null))],
  );
}
