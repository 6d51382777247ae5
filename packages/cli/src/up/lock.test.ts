import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { startProcess, temporaryFolder, waitFor } from '@slipway/testing';
import { lockOwner, releaseLock, takeLock } from './lock.ts';
import { isRunning } from './process-identity.ts';

const module_ = pathToFileURL(join(import.meta.dirname, 'lock.ts')).href;

test('a lock is held until it is released', async () => {
  const file = join(await temporaryFolder(), 'up.lock');
  expect(takeLock(file)).toBeNull();
  expect(lockOwner(file)?.pid).toBe(process.pid);
  expect(takeLock(file)?.pid).toBe(process.pid);
  releaseLock(file);
  expect(lockOwner(file)).toBeNull();
});

test('a lock whose owner was killed is taken over, by exactly one of many', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'up.lock');
  const script = join(folder, 'take.mjs');
  await writeFile(
    script,
    `import { takeLock } from ${JSON.stringify(module_)};
     console.log(takeLock(${JSON.stringify(file)}) === null ? 'mine' : 'taken');
     setInterval(() => {}, 1000);`,
  );
  const first = startProcess(process.execPath, [script]);
  await first.waitForOutput(/mine/);
  await first.kill();
  const many = Array.from({ length: 6 }, () => startProcess(process.execPath, [script]));
  const said = await Promise.all(many.map(async (one) => (await one.waitForOutput(/mine|taken/))[0]));
  expect(said.filter((word) => word === 'mine')).toHaveLength(1);
});

test('a damaged lock, or one of a process whose number is used again, is stale', async () => {
  const file = join(await temporaryFolder(), 'up.lock');
  await writeFile(file, 'not json');
  expect(takeLock(file)).toBeNull();
  await writeFile(file, JSON.stringify({ pid: process.pid, startTime: '1' }));
  expect(lockOwner(file)).toBeNull();
  expect(takeLock(file)).toBeNull();
  expect(lockOwner(file)?.pid).toBe(process.pid);
});

test('a process that has ended does not run', async () => {
  const child = startProcess('sleep', ['1000']);
  expect(isRunning({ pid: child.pid, startTime: null })).toBe(true);
  await child.kill();
  await waitFor(() => !isRunning({ pid: child.pid, startTime: null }), { what: 'the process to be gone' });
});
