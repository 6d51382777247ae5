import { randomBytes } from 'node:crypto';
import { Client, Pool } from 'pg';
import { atEndOfTest } from './at-end-of-test.ts';
import { sharedPostgres } from './shared-postgres.ts';
import { testRunFolder } from './test-run.ts';

export interface TestDatabase {
  url: string;
  pool: Pool;
  /** Ends the pool and drops the database, also under open connections. Happens by itself at the end of the test. */
  drop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Template {
  /** Letters, digits and `_`. */
  name: string;
  /** Fills the template; called once per run. It must have closed its connections when it resolves. */
  prepare: (url: string) => Promise<void>;
}

let starting: Promise<string> | undefined;

/**
 * An empty database of its own, or a copy of `template`, on the PostgreSQL that the whole run shares.
 *
 * ```ts
 * const { pool } = await testDatabase();
 * ```
 */
export async function testDatabase(template?: Template): Promise<TestDatabase> {
  const opened: TestDatabase[] = [];
  atEndOfTest(async () => opened[0]?.drop());

  const name = `test_${randomBytes(6).toString('hex')}`;
  const source = template === undefined ? '' : ` template "${await ensureTemplate(template)}"`;
  await administer((admin) => admin.query(`create database "${name}"${source}`));

  const url = urlOf(await serverUrl(), name);
  const pool = new Pool({ connectionString: url, max: 10 });
  pool.on('error', () => undefined); // connections that a test cuts
  let dropping: Promise<void> | undefined;
  const drop = () => {
    dropping ??= dropDatabase(pool, name);
    return dropping;
  };
  const database: TestDatabase = { url, pool, drop, [Symbol.asyncDispose]: drop };
  opened.push(database);
  return database;
}

async function dropDatabase(pool: Pool, name: string): Promise<void> {
  if (!pool.ended) await pool.end();
  await administer((admin) => admin.query(`drop database if exists "${name}" with (force)`));
}

async function ensureTemplate({ name, prepare }: Template): Promise<string> {
  const database = `template_${name}`;
  await administer(async (admin) => {
    await admin.query('select pg_advisory_lock(hashtext($1))', [database]);
    const found = await admin.query('select from pg_database where datname = $1', [database]);
    if (found.rowCount !== 0) return;
    // Renamed when it is whole: a `prepare` that fails leaves no half template to copy.
    await admin.query(`drop database if exists "${database}_new" with (force)`);
    await admin.query(`create database "${database}_new"`);
    await prepare(urlOf(await serverUrl(), `${database}_new`));
    await admin.query(`alter database "${database}_new" rename to "${database}"`);
  });
  return database;
}

async function administer(work: (admin: Client) => Promise<unknown>): Promise<void> {
  const admin = new Client({ connectionString: await serverUrl() });
  admin.on('error', () => undefined); // a cut connection rejects the running query as well
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

function serverUrl(): Promise<string> {
  starting ??= (async () => {
    const { server } = sharedPostgres(testRunFolder());
    await server.start();
    return server.url;
  })();
  return starting;
}

function urlOf(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}
