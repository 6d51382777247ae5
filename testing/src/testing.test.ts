import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { freePort, startProcess, temporaryFolder, testDatabase, waitFor } from './index.ts';

test('every caller gets a database of its own, and it is gone afterwards', async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()]);
  await one.pool.query('create table only_here ()');
  await expect(two.pool.query('select from only_here')).rejects.toThrow(/does not exist/);
  await one.drop();
  await one.drop();
  const name = new URL(one.url).pathname.slice(1);
  expect((await two.pool.query('select from pg_database where datname = $1', [name])).rowCount).toBe(0);
});

test('a template is prepared once and copied', async () => {
  let prepared = 0;
  const template = {
    name: 'of_testing',
    prepare: async (url: string) => {
      prepared += 1;
      const { Client } = await import('pg');
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query('create table rows as select 7 as seven');
      await client.end();
    },
  };
  const copies = await Promise.all([testDatabase(template), testDatabase(template), testDatabase(template)]);
  for (const copy of copies) expect((await copy.pool.query('select seven from rows')).rows).toEqual([{ seven: 7 }]);
  expect(prepared).toBe(1);
});

const kept: { folder?: string; pid?: number } = {};

test('makes things ...', async () => {
  kept.folder = await temporaryFolder();
  expect((await stat(kept.folder)).mode & 0o777).toBe(0o755);
  await writeFile(path.join(kept.folder, 'file'), 'x');
  const child = startProcess('sh', ['-c', 'echo "ready $NAME"; exec sleep 600'], { env: { NAME: 'now' } });
  kept.pid = child.pid;
  expect((await child.waitForOutput(/ready (\w+)/))[1]).toBe('now');
});

test('... that are gone when the test has ended', async () => {
  expect(existsSync(kept.folder ?? '')).toBe(false);
  await waitFor(() => spawnSync('kill', ['-0', String(kept.pid)]).status !== 0, { what: 'the child to be gone' });
});

test('a process that ends early is not waited for', async () => {
  const child = startProcess('sh', ['-c', 'echo broken >&2; exit 3']);
  await expect(child.waitForOutput(/ready/, 1)).rejects.toThrow(/ended with 3 before it wrote .ready.*broken/s);
  expect(await child.exited).toEqual({ code: 3, signal: null });
});

test('waiting says what was awaited and what was there instead', async () => {
  const steps = [0, 0, 5];
  expect(await waitFor(() => steps.shift(), { what: 'a step' })).toBe(5);
  await expect(waitFor(() => '', { what: 'a word', seconds: 0.05 })).rejects.toThrow(
    "waited 0.05 s for a word; last time it gave ''",
  );
});

test('a free port can be listened on', async () => {
  const port = await freePort();
  const child = startProcess(process.execPath, [
    '-e',
    `require('net').createServer().listen(${port}, '127.0.0.1', () => console.log('listens'))`,
  ]);
  await child.waitForOutput(/listens/);
});
