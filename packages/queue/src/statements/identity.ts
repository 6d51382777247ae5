import type { Database, Names } from './names.ts';

/** Who this queue is: made with its tables, and copied with them. */
export async function readIdentity(db: Database, names: Names): Promise<string> {
  const { rows } = await db.query(`select id from ${names.identity}`);
  return String(rows[0]?.['id']);
}
