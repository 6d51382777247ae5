import type { Database, Names } from './names.ts';

/** The number of a new batch. Its row comes with {@link insertBatch}, in the same transaction, when its closing task has an id. */
export async function openBatch(db: Database, names: Names): Promise<string> {
  const { rows } = await db.query(`select nextval(pg_get_serial_sequence($1, 'id'))::text as id`, [names.batch]);
  return String(rows[0]?.['id']);
}

/** Enters a batch of so many members. They count from the commit of this transaction on, with which they come to exist. */
export async function insertBatch(
  db: Database,
  names: Names,
  batch: { id: string; fanInId: string; size: number },
): Promise<void> {
  await db.query(
    `insert into ${names.batch} (id, fan_in, size, open) overriding system value values ($1, $2, $3, $3)`,
    [batch.id, batch.fanInId, batch.size],
  );
}
