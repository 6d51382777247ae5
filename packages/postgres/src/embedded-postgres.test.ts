import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { EmbeddedPostgres, type EmbeddedPostgresOptions } from './index.ts';

const asRoot = process.getuid?.() === 0;

async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'slipway-postgres-'));
  await chmod(folder, 0o755);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function embedded(folder: string, options: Partial<EmbeddedPostgresOptions> = {}): EmbeddedPostgres {
  const postgres = new EmbeddedPostgres({ folder, durable: 'no', ...options });
  onTestFinished(() => postgres.stop());
  return postgres;
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Another process that starts a PostgreSQL in `folder`; resolves when it has. */
async function startElsewhere(folder: string) {
  const face = path.join(import.meta.dirname, 'index.ts');
  const code = `
    const { EmbeddedPostgres } = await import(${JSON.stringify(face)});
    const postgres = new EmbeddedPostgres({ folder: ${JSON.stringify(folder)}, durable: 'no' });
    await postgres.start();
    console.log(postgres.pid);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() =>
      Promise.reject(new Error('the other process ended before it had started PostgreSQL')),
    ),
  ]);
  return { child, postgresPid: Number(String(line)) };
}

test('keeps what was written over a stop and a start', async () => {
  const postgres = embedded(await folderForTest());
  await postgres.stop(); // before start: nothing happens
  await postgres.start();
  await postgres.start(); // again: nothing happens
  await query(postgres.url, "create table kept as select 'yes' as value");
  const { exited } = postgres;
  await Promise.all([postgres.stop(), postgres.stop()]);
  expect(await exited).toEqual({ cause: 'stopped', message: 'PostgreSQL was stopped.' });
  await postgres.start();
  expect(await query(postgres.url, 'select value from kept')).toEqual([{ value: 'yes' }]);
});

test('is durable unless told otherwise, and small', async () => {
  const postgres = embedded(await folderForTest(), { durable: 'yes', settings: { max_connections: '33' } });
  await postgres.start();
  const rows = await query(
    postgres.url,
    `select name, setting from pg_settings
     where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'max_connections', 'listen_addresses', 'jit') order by name`,
  );
  expect(Object.fromEntries(rows.map((row) => [row['name'], row['setting']]))).toEqual({
    fsync: 'on',
    full_page_writes: 'on',
    jit: 'off',
    listen_addresses: '',
    max_connections: '33',
    synchronous_commit: 'on',
  });
  const children = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(postgres.pid)]);
  // Our own connection among them, and an autovacuum worker now and then.
  expect(children.stdout.trim().split('\n').length).toBeLessThanOrEqual(6);
});

test('keeps its password and its socket to its own user', async () => {
  const folder = await folderForTest();
  const postgres = embedded(folder);
  await postgres.start();
  expect((await stat(path.join(folder, 'password'))).mode & 0o777).toBe(0o600);
  expect((await stat(path.join(folder, 'socket'))).mode & 0o777).toBe(0o700);
  expect((await stat(path.join(folder, 'data'))).mode & 0o777).toBe(0o700);
  await expect(query(postgres.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(/password/);
  expect((await readdir(folder)).filter((name) => name.startsWith('data-new'))).toEqual([]);
});

test('outlives a parent that is killed, and is adopted by the next one', async () => {
  const folder = await folderForTest();
  const { child, postgresPid } = await startElsewhere(folder);
  child.kill('SIGKILL');
  await once(child, 'exit');

  const messages: string[] = [];
  const postgres = embedded(folder, { log: (message) => messages.push(message) });
  await postgres.start();
  expect(postgres.pid).toBe(postgresPid);
  expect(messages).toEqual([`postgres: adopted the one that runs already, process ${postgresPid}`]);
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  // The end of an adopted one is noticed as well.
  const { exited } = postgres;
  process.kill(postgresPid, 'SIGKILL');
  expect((await exited).cause).toBe('died');
});

test('starts again after kill -9, with every committed row', async () => {
  const postgres = embedded(await folderForTest());
  await postgres.start();
  await query(postgres.url, 'create table kept as select generate_series(1, 1000) as n');
  const { exited, pid } = postgres;
  process.kill(pid, 'SIGKILL');
  expect(await exited).toMatchObject({ cause: 'died', message: expect.stringContaining('was ended by SIGKILL') });
  await postgres.start();
  expect(postgres.pid).not.toBe(pid);
  expect(await query(postgres.url, 'select count(*)::int as rows from kept')).toEqual([{ rows: 1000 }]);
});

test('is not misled by a postmaster.pid whose number belongs to another process now', async () => {
  const folder = await folderForTest();
  const postgres = embedded(folder);
  await postgres.start();
  const pidFile = path.join(folder, 'data', 'postmaster.pid');
  const content = await readFile(pidFile, 'utf8');
  const { exited } = postgres;
  process.kill(postgres.pid, 'SIGKILL');
  await exited;
  // The same user as PostgreSQL's: the case in which PostgreSQL itself refuses to start.
  const { uid, gid } = await stat(path.join(folder, 'data'));
  const stranger = spawn('sleep', ['600'], { stdio: 'ignore', cwd: '/', ...(asRoot ? { uid, gid } : {}) });
  onTestFinished(() => void stranger.kill('SIGKILL'));
  await writeFile(pidFile, content.replace(/^\d+/, String(stranger.pid)));
  await postgres.start();
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(stranger.exitCode).toBeNull();
});

test('replaces a postmaster whose socket was deleted', async () => {
  const folder = await folderForTest();
  const first = embedded(folder);
  await first.start();
  await query(first.url, "create table kept as select 'yes' as value");
  await rm(path.join(folder, 'socket', '.s.PGSQL.5432'));
  const second = embedded(folder);
  await second.start();
  expect(await query(second.url, 'select value from kept')).toEqual([{ value: 'yes' }]);
});

test('two processes that start at once on one folder share one PostgreSQL', async () => {
  const folder = await folderForTest();
  const [one, two] = await Promise.all([startElsewhere(folder), startElsewhere(folder)]);
  expect(one.postgresPid).toBe(two.postgresPid);
  const postgres = embedded(folder);
  await postgres.start();
  expect(postgres.pid).toBe(one.postgresPid);
});

test('puts its socket into a short folder when the data folder has a long name', async () => {
  const folder = path.join(await folderForTest(), 'long'.repeat(30));
  const postgres = embedded(folder);
  await postgres.start();
  const socketFolder = new URL(postgres.url).searchParams.get('host') ?? '';
  onTestFinished(() => rm(socketFolder, { recursive: true, force: true }));
  expect(socketFolder.startsWith(os.tmpdir())).toBe(true);
  expect((await stat(socketFolder)).mode & 0o777).toBe(0o700);
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
});

test.each([
  ['another process', 999_999_999],
  ['a predecessor with the same number, as in a container', process.pid],
])('begins anew after %s was killed within initdb', async (_, pid) => {
  const folder = await folderForTest();
  const abandoned = path.join(folder, `data-new-${pid}`);
  await mkdir(abandoned);
  await writeFile(path.join(abandoned, 'PG_VERSION'), '18');
  const postgres = embedded(folder);
  await postgres.start();
  expect((await readdir(folder)).sort()).toEqual(['data', 'password', 'postgres.log', 'socket']);
});

test('says which program is in the way when its TCP port is taken', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const postgres = embedded(await folderForTest(), { port });
  await expect(postgres.start()).rejects.toThrow(/TCP port is taken.*choose another port/s);
});

test('says that the data folder is damaged and what to do', async () => {
  const folder = await folderForTest();
  const postgres = embedded(folder);
  await postgres.start();
  await postgres.stop();
  await writeFile(path.join(folder, 'data', 'global', 'pg_control'), Buffer.alloc(8192, 7));
  await expect(postgres.start()).rejects.toThrow(/data folder is damaged.*restore a backup/s);
});

test.runIf(asRoot)('is out of reach for the user that apps run as', async () => {
  const folder = await folderForTest();
  const postgres = embedded(folder);
  await postgres.start();
  const nobody = { uid: 65534, gid: 65534 };
  for (const command of [
    `ls ${folder}/data`,
    `ls ${folder}/socket`,
    `cat ${folder}/password`,
    `kill -0 ${postgres.pid}`,
  ]) {
    await expect(promisify(execFile)('sh', ['-c', command], { cwd: '/', ...nobody })).rejects.toThrow(
      /not permitted|denied/,
    );
  }
});

test.runIf(asRoot)('names the folder that the unprivileged user may not enter', async () => {
  const closed = path.join(await folderForTest(), 'closed');
  await mkdir(closed, { mode: 0o700 });
  const postgres = embedded(path.join(closed, 'home'));
  await expect(postgres.start()).rejects.toThrow(`may not enter ${closed}`);
});

test.runIf(asRoot)('copies its programs when they are where the unprivileged user may not look', async () => {
  const folder = await folderForTest();
  const closed = path.join(folder, 'closed');
  await mkdir(closed, { mode: 0o700 });
  const { copyUnreadable } = await import('./binaries.ts');
  const target = await copyUnreadable({ folder: closed, version: '1' }, path.join(folder, 'home'), {
    uid: 65534,
    gid: 65534,
  });
  expect(target).toBe(path.join(folder, 'home', 'binaries-1'));
  await chown(closed, 65534, 65534);
  expect(
    await copyUnreadable({ folder: closed, version: '1' }, path.join(folder, 'home'), { uid: 65534, gid: 65534 }),
  ).toBe(closed);
});

test.runIf(process.platform === 'linux' && asRoot)('says that the disk is full', async () => {
  const folder = await folderForTest();
  const small = path.join(folder, 'small');
  await mkdir(small);
  const mounted = await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=755', 'tmpfs', small]).then(
    () => true,
    () => false,
  );
  if (!mounted) return; // a container that may not mount
  onTestFinished(async () => void (await promisify(execFile)('umount', [small])));
  await expect(embedded(small).start()).rejects.toThrow(/disk is full.*Free some space/s);
});
