import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder, waitFor } from '@slipway/testing';
import { KeptPart } from './part.ts';
import { isRunning } from './process-identity.ts';
import { processPart, type ProcessPartOptions } from './process-part.ts';
import type { PartRecord } from './state.ts';

test('a part that ends is started again, with a line that says so', async () => {
  const { part, record } = await worker();
  const said: string[] = [];
  const kept = new KeptPart(part(), (text) => said.push(text));
  onTestFinished(() => kept.stop());
  expect((await kept.start()).how).toBe('started');
  const first = record();
  process.kill(first.pid, 'SIGKILL');
  await waitFor(() => record().pid !== first.pid && said.includes('The worker runs again.'), {
    what: 'the part to run again',
  });
  expect(said[0]).toBe('The worker was ended by SIGKILL. Starting it again in 0.1 s.');
  await kept.stop();
  expect(isRunning(record())).toBe(false);
  await kept.stop();
});

test('a part that runs is adopted, and one with other arguments is replaced', async () => {
  const { part, record } = await worker();
  onTestFinished(() => part().stop());
  await part().start();
  const first = record();
  const adopted = await part().start();
  expect(adopted.how).toBe('adopted');
  expect(record()).toEqual(first);
  expect((await part({ args: ['other'] }).start()).how).toBe('started');
  expect(await adopted.ended).toBe('ended');
  expect(record().pid).not.toBe(first.pid);
  expect(isRunning(first)).toBe(false);
});

test('the end of an adopted part is noticed', async () => {
  const { part, record } = await worker();
  await part().start();
  const said: string[] = [];
  const kept = new KeptPart(part(), (text) => said.push(text));
  onTestFinished(() => kept.stop());
  expect((await kept.start()).how).toBe('adopted');
  const { pid } = record();
  process.kill(pid, 'SIGKILL');
  await waitFor(() => record().pid !== pid && said.length === 2, { what: 'the part to run again' });
});

test('a part that does not start says why, with its last lines', async () => {
  const { part, log } = await worker('console.error("no cheese left"); process.exit(3)');
  await expect(part().start()).rejects.toMatchObject({
    kind: 'transient',
    message: 'the worker ended with exit code 3:\n  no cheese left\n',
    hint: `Its log: ${log}`,
  });
});

test('a part that does not listen to SIGTERM is ended after its grace', async () => {
  const { part, record } = await worker('process.on("SIGTERM", () => {}); ready(); setInterval(() => {}, 1000);');
  await part().start();
  await part().stop();
  expect(isRunning(record())).toBe(false);
});

/** A program that writes the file `ready` when it works. */
async function worker(body = 'ready(); setInterval(() => {}, 1000);') {
  const folder = await temporaryFolder();
  const entry = join(folder, 'worker.mjs');
  const ready = join(folder, 'ready');
  await writeFile(
    entry,
    `import { writeFileSync } from 'node:fs';
     const ready = () => writeFileSync(${JSON.stringify(ready)}, String(process.pid));
     ${body}`,
  );
  let current: PartRecord | undefined;
  const log = join(folder, 'worker.log');
  const options: ProcessPartOptions = {
    title: 'worker',
    entry,
    args: [],
    nodeFlags: [],
    variables: () => ({}),
    log,
    cache: join(folder, 'cache'),
    record: { read: () => current, write: (record) => (current = record) },
    answers: async ({ pid }) => existsSync(ready) && readFileSync(ready, 'utf8') === String(pid),
    graceSeconds: 0.3,
  };
  return {
    part: (changed: Partial<ProcessPartOptions> = {}) => processPart({ ...options, ...changed }),
    log,
    record: () => {
      if (current === undefined) throw new Error('it was not started');
      return current;
    },
  };
}
