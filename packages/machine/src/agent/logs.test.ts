import { readdir } from 'node:fs/promises';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { EnvironmentLogs } from './logs.ts';

const never = new AbortController().signal;
const line = (index: number, source = 'web') => ({
  at: index,
  source,
  instance: 'i',
  release: 1,
  stream: 'stdout' as const,
  line: `line ${index}`,
});

test('files are rotated, the oldest lines go first, and reading crosses the files in order', async () => {
  const folder = await temporaryFolder();
  const logs = new EnvironmentLogs(folder, () => undefined, { fileBytes: 2000, files: 3 });
  for (let index = 0; index < 200; index += 1) {
    logs.write(line(index));
    if (index % 5 === 0) await logs.flushed();
  }
  await logs.flushed();
  expect((await readdir(folder)).sort()).toEqual(['web.jsonl', 'web.jsonl.1', 'web.jsonl.2']);
  const kept = (await Array.fromAsync(logs.read('web', 1000, false, never))).map((one) => one.at);
  expect(kept.length).toBeGreaterThan(30);
  expect(kept).toEqual(kept.map((_, index) => 200 - kept.length + index));
  expect((await Array.fromAsync(logs.read('web', 3, false, never))).map((one) => one.at)).toEqual([197, 198, 199]);
  expect(await Array.fromAsync(logs.read('web', 0, false, never))).toEqual([]);
  // A restarted agent goes on in the same files.
  const next = new EnvironmentLogs(folder, () => undefined, { fileBytes: 2000, files: 3 });
  next.write(line(200));
  await next.flushed();
  expect((await Array.fromAsync(next.read(null, 2, false, never))).map((one) => one.at)).toEqual([199, 200]);
});

test('following starts exactly where the past ends, also while lines are being written', async () => {
  const logs = new EnvironmentLogs(await temporaryFolder(), () => undefined);
  for (let index = 0; index < 50; index += 1) logs.write(line(index, index % 2 === 0 ? 'a' : 'b'));
  const seen: number[] = [];
  const abort = new AbortController();
  const reading = logs.read(null, 1000, true, abort.signal);
  for (let next = 50; seen.length < 100; next += 1) {
    if (next < 100) logs.write(line(next, 'a'));
    const { value } = await reading.next();
    if (value !== undefined) seen.push(value.at);
  }
  expect(seen).toEqual(Array.from({ length: 100 }, (_, index) => index));
  abort.abort();
  expect((await reading.next()).done).toBe(true);
});

test('closing ends followers', async () => {
  const logs = new EnvironmentLogs(await temporaryFolder(), () => undefined);
  const following = Array.fromAsync(logs.read(null, 10, true, never));
  logs.write(line(1));
  await logs.close();
  expect((await following).length).toBeLessThanOrEqual(1);
});
