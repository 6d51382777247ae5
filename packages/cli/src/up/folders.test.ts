import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '@slipway/testing';
import { prepareHome } from './folders.ts';

const asRoot = process.getuid?.() === 0;

test('a home is made once, with its token for this user only', async () => {
  const home = join(await temporaryFolder(), 'a', 'home');
  const first = prepareHome(home);
  expect(first.token).toMatch(/^slw_[\w-]{43}$/);
  expect(statSync(join(home, 'token')).mode & 0o777).toBe(0o600);
  expect(statSync(join(home, 'logs')).mode & 0o777).toBe(0o700);
  expect(prepareHome(home)).toEqual(first);
  expect(first.data).toBe(join(home, 'data'));
});

test.runIf(asRoot)('as root, data moves out of a folder that apps can’t enter', async () => {
  const closed = join(await temporaryFolder(), 'closed');
  await mkdir(closed);
  await chmod(closed, 0o700);
  const home = join(closed, 'home');
  const prepared = prepareHome(home);
  onTestFinished(() => rm(prepared.data, { recursive: true }));
  expect(prepared.data).toMatch(/^\/var\/lib\/slipway\/[0-9a-f]{12}$/);
  expect(readlinkSync(join(home, 'data'))).toBe(prepared.data);
  expect(prepared.note).toContain(`can't enter ${closed}.`);
  expect(prepareHome(home)).toEqual(prepared);
});

test.runIf(asRoot)('as root, data that lies where apps can’t reach it is refused', async () => {
  const closed = join(await temporaryFolder(), 'closed');
  const home = join(closed, 'home');
  await mkdir(join(home, 'data'), { recursive: true });
  await chmod(closed, 0o700);
  expect(() => prepareHome(home)).toThrow(`who can't enter ${closed}`);
  expect(lstatSync(join(home, 'data')).isDirectory()).toBe(true);
});

test('a home that can’t be made says why', async () => {
  const file = join(await temporaryFolder(), 'file');
  await writeFile(file, '');
  expect(() => prepareHome(join(file, 'home'))).toThrow("can't be made: a part of the path is a file");
});
