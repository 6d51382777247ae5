import { closeSync, readFileSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '@slipway/testing';
import { capLog, lastLines, openLog, sizeOf } from './log-file.ts';

const long = 'x'.repeat(9 * 1024 * 1024);

test('a long log is moved aside when it is opened', async () => {
  const file = join(await temporaryFolder(), 'server.log');
  await writeFile(file, long);
  closeSync(openLog(file));
  expect([sizeOf(file), sizeOf(`${file}.old`)]).toEqual([0, long.length]);
});

test('a log is cut while it is written to, and the writer goes on', async () => {
  const file = join(await temporaryFolder(), 'server.log');
  const writer = openLog(file);
  writeSync(writer, long);
  capLog(file);
  writeSync(writer, 'next\n');
  closeSync(writer);
  expect(readFileSync(file, 'utf8')).toBe('next\n');
  expect(sizeOf(`${file}.old`)).toBe(long.length);
});

test('the last lines are those after a place', async () => {
  const file = join(await temporaryFolder(), 'server.log');
  await writeFile(file, 'old\na\nb\nc\n');
  expect(lastLines(file, 4, 2)).toEqual(['b', 'c']);
  expect(lastLines(file, 10, 2)).toEqual([]);
  expect(lastLines(`${file}.none`, 0, 2)).toEqual([]);
});
