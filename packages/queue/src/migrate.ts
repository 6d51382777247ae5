import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Pool, PoolClient } from 'pg';
import { transactionOn } from './in-transaction.ts';

export interface MigrateOptions {
  /** PostgreSQL schema of the tables; made when missing. The files don't name it: it is their search path. */
  schema: string;
  /** Folder of `0001-what-it-does.sql`, `0002-...`: numbered without gaps, and never changed once released. */
  folder: string;
}

interface Migration {
  number: number;
  name: string;
  file: string;
}

/** The database can't be used by this version of the program; the message says what to do. */
export class MigrationRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MigrationRefused';
  }
}

/**
 * Brings a schema forward to the newest migration in the folder; never backwards. All of them in one transaction, so that a
 * crash leaves the old version, whole. Safe when many processes start at once: one migrates, the others wait and find
 * nothing to do.
 *
 * @returns The names of the migrations that this call applied.
 * @throws {MigrationRefused} when the database is newer than the folder, or has other migrations under the same numbers.
 */
export async function migrate(pool: Pool, options: MigrateOptions): Promise<string[]> {
  const migrations = await readMigrations(options.folder);
  const client = await pool.connect();
  let unusable: Error | undefined;
  try {
    if (pending(await appliedNames(client, options.schema), migrations, options.schema).length === 0) return [];
    return await transactionOn(client, () => applyPending(client, migrations, options.schema));
  } catch (error) {
    unusable = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.release(unusable);
  }
}

/** Reads the folder. @throws {Error} when numbers repeat or are missing. */
async function readMigrations(folder: string): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return files.map((file, index) => {
    const [, digits, name] = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file) ?? [];
    if (digits === undefined || name === undefined || Number(digits) !== index + 1) {
      throw new Error(
        `${path.join(folder, file)}: expected the name ${String(index + 1).padStart(4, '0')}-what-it-does.sql`,
      );
    }
    return { number: index + 1, name: `${digits}-${name}`, file: path.join(folder, file) };
  });
}

async function applyPending(client: PoolClient, migrations: Migration[], schema: string): Promise<string[]> {
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`slipway migrate ${schema}`]);
  // Not `create schema if not exists`: this session may remember from before the lock that there is none.
  const there = await client.query('select from pg_namespace where nspname = $1', [schema]);
  if (there.rowCount === 0) await client.query(`create schema "${schema}"`);
  await client.query(`set local search_path to "${schema}"`);
  await client.query(
    'create table if not exists migration (number integer primary key, name text not null, applied_at timestamptz not null default clock_timestamp())',
  );
  // Again, now that nobody else can migrate.
  const todo = pending(await appliedNames(client, schema), migrations, schema);
  for (const { number, name, file } of todo) {
    await client.query(await readFile(file, 'utf8')).catch((error: unknown) => {
      throw new Error(`migration ${name} of schema ${schema} failed, nothing was changed: ${String(error)}`, {
        cause: error,
      });
    });
    await client.query('insert into migration (number, name) values ($1, $2)', [number, name]);
  }
  // A table that was never analysed is planned as if it were empty, and its first bulk of rows is then read by scans.
  for (const table of await tablesIn(client, schema)) await client.query(`analyze "${table}"`);
  return todo.map(({ name }) => name);
}

async function tablesIn(client: PoolClient, schema: string): Promise<string[]> {
  const result = await client.query<{ name: string }>('select tablename as name from pg_tables where schemaname = $1', [
    schema,
  ]);
  return result.rows.map(({ name }) => name);
}

async function appliedNames(client: PoolClient, schema: string): Promise<string[]> {
  const known = await client.query<{ there: boolean }>('select to_regclass($1) is not null as there', [
    `"${schema}".migration`,
  ]);
  if (known.rows[0]?.there !== true) return [];
  const result = await client.query<{ name: string }>(`select name from "${schema}".migration order by number`);
  return result.rows.map(({ name }) => name);
}

function pending(applied: string[], migrations: Migration[], schema: string): Migration[] {
  if (applied.length > migrations.length) {
    throw new MigrationRefused(
      `The database is newer than this version of Slipway: schema ${schema} has ${applied.length} migrations (the last is ${applied.at(-1)}), ` +
        `this version knows ${migrations.length}. Nothing was changed. Start the newer version again, or restore the backup from before the upgrade.`,
    );
  }
  const stranger = applied.findIndex((name, index) => name !== migrations[index]?.name);
  if (stranger !== -1) {
    throw new MigrationRefused(
      `Schema ${schema} has migration ${applied[stranger]} where this version has ${migrations[stranger]?.name}: it belongs to another program. ` +
        'Nothing was changed. Use another database, or another schema.',
    );
  }
  return migrations.slice(applied.length);
}
