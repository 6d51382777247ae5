/** Where a statement runs. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
}

/** Qualified names of one queue's tables, and its notification channel. */
export interface Names {
  schema: string;
  task: string;
  dead: string;
  worker: string;
  channel: string;
}

export function namesIn(schema: string): Names {
  // Quoted, but never escaped: the schema is part of the program, not of its input.
  if (!/^[a-z_][a-z0-9_]{0,55}$/.test(schema)) {
    throw new Error(`'${schema}' can't be the queue's schema: use at most 56 lower-case letters, digits and _`);
  }
  return {
    schema,
    task: `"${schema}".task`,
    dead: `"${schema}".dead_task`,
    worker: `"${schema}".worker`,
    channel: `${schema}_task`,
  };
}

/** PostgreSQL's code for a row that a unique index refuses. */
export const UNIQUE_VIOLATION = '23505';
