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

test('a lock whose owner was killed is taken over by exactly one, however many try at once', async () => {
  const folder = await temporaryFolder();
  const script = join(folder, 'take.mjs');
  await writeFile(
    script,
    `import { takeLock } from ${JSON.stringify(module_)};
     import { createInterface } from 'node:readline';
     console.log('started');
     for await (const file of createInterface({ input: process.stdin })) {
       console.log(file + (takeLock(file) === null ? ' mine' : ' taken') + '.');
     }`,
  );
  const start = async () => {
    const process_ = startProcess(process.execPath, [script]);
    await process_.waitForOutput(/started/);
    return process_;
  };
  const rounds = Array.from({ length: 25 }, (_, round) => join(folder, `up-${round}.lock`));
  const killed = await start();
  for (const file of rounds) {
    killed.write(`${file}\n`);
    await killed.waitForOutput(new RegExp(`${file} mine\\.`));
  }
  await killed.kill();
  const many = await Promise.all(Array.from({ length: 20 }, start));
  for (const file of rounds) {
    for (const one of many) one.write(`${file}\n`);
    const said = await Promise.all(many.map((one) => one.waitForOutput(new RegExp(`${file} (mine|taken)\\.`))));
    expect(
      said.filter(([, word]) => word === 'mine'),
      file,
    ).toHaveLength(1);
  }
});

test('a damaged lock, or one of a process whose number is used again, is stale', async () => {
  const file = join(await temporaryFolder(), 'up.lock');
  await writeFile(`${file}.1`, 'not json');
  expect(takeLock(file)).toBeNull();
  await writeFile(`${file}.7`, JSON.stringify({ pid: process.pid, startTime: '1' }));
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
