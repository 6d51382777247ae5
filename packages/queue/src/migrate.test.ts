import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder, testDatabase } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { connectPool, migrate, MigrationRefused, Queue } from './index.ts';

async function folderWith(files: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), content);
  return folder;
}

const first = { '0001-fruit.sql': 'create table fruit (name text);' };
const second = {
  ...first,
  '0002-colour.sql': "alter table fruit add colour text; insert into fruit values ('pear', 'green');",
};

test('applies what is missing, in order, once', async () => {
  const { pool } = await testDatabase();
  const schema = 'shop';
  expect(await migrate(pool, { schema, folder: await folderWith(first) })).toEqual(['0001-fruit']);
  expect(await migrate(pool, { schema, folder: await folderWith(second) })).toEqual(['0002-colour']);
  expect(await migrate(pool, { schema, folder: await folderWith(second) })).toEqual([]);
  expect((await pool.query('select * from shop.fruit')).rows).toEqual([{ name: 'pear', colour: 'green' }]);
});

test('twenty that start at once migrate once', async () => {
  const { url } = await testDatabase();
  const folder = await folderWith(second);
  const pools = Array.from({ length: 20 }, () => connectPool(url, { max: 1 }));
  onTestFinished(async () => void (await Promise.all(pools.map((pool) => pool.end()))));
  const applied = await Promise.all(pools.map((pool) => migrate(pool, { schema: 'shop', folder })));
  expect(applied.filter((names) => names.length > 0)).toEqual([['0001-fruit', '0002-colour']]);
  await Promise.all(pools.map((pool) => new Queue({ pool }).migrate()));
});

test('refuses a database that is newer than the program, and says what to do', async () => {
  const { pool } = await testDatabase();
  await migrate(pool, { schema: 'shop', folder: await folderWith(second) });
  const older = migrate(pool, { schema: 'shop', folder: await folderWith(first) });
  await expect(older).rejects.toThrow(MigrationRefused);
  await expect(older).rejects.toThrow(/0002-colour.*Start the newer version again, or restore the backup/);
});

test('refuses a schema that belongs to another program', async () => {
  const { pool } = await testDatabase();
  await migrate(pool, { schema: 'shop', folder: await folderWith(first) });
  const other = await folderWith({ '0001-vegetable.sql': 'select 1' });
  await expect(migrate(pool, { schema: 'shop', folder: other })).rejects.toThrow(/belongs to another program/);
});

test('a migration that fails leaves everything as it was', async () => {
  const { pool } = await testDatabase();
  const folder = await folderWith({ ...second, '0003-broken.sql': 'create table half (); select broken' });
  await expect(migrate(pool, { schema: 'shop', folder })).rejects.toThrow(
    /0003-broken of schema shop failed, nothing was changed/,
  );
  expect((await pool.query("select to_regclass('shop.fruit') as fruit")).rows).toEqual([{ fruit: null }]);
  expect(await migrate(pool, { schema: 'shop', folder: await folderWith(second) })).toHaveLength(2);
});

test('names the file whose number is missing', async () => {
  const { pool } = await testDatabase();
  const folder = await folderWith({ ...first, '0003-gap.sql': '' });
  await expect(migrate(pool, { schema: 'shop', folder })).rejects.toThrow(/0003-gap\.sql: expected the name 0002-/);
});

test('a pool outlives connections that are cut, idle ones and those in use', async () => {
  const { url, pool: admin } = await testDatabase();
  const errors: Error[] = [];
  const pool = connectPool(url, { name: 'under-test', onError: (error) => errors.push(error) });
  onTestFinished(() => pool.end());
  const cut =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'under-test' and pid <> pg_backend_pid()";
  const client = await pool.connect();
  const sleeping = client.query('select pg_sleep(60)');
  await Promise.all([expect(sleeping).rejects.toThrow(/terminat/), admin.query(cut)]);
  client.release(true);
  await pool.query('select 1');
  await admin.query(cut);
  await expect.poll(() => errors.length).toBe(1);
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});
