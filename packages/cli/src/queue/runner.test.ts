import { openQueue, taskKind, z } from '@slipway/queue';
import { startProcess, temporaryFolder, testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { entry, slipway } from '../test/slipway.ts';

const size = { cpu: 1, memoryBytes: 512 * 1024 ** 2, timeoutSeconds: 20 };

test('the hidden runner works on the tasks of a queue with a command, until SIGTERM', async () => {
  const [{ url }, folder] = [await testDatabase(), await temporaryFolder()];
  const queue = await openQueue(url);
  await queue.enqueue(taskKind({ name: 'shop/production/hello', payload: z.string() }), 'world');
  const settings = {
    kind: 'shop/production/hello',
    command: 'echo "hello $(cat "$SLIPWAY_PAYLOAD")"',
    limits: { normal: size, fallback: size },
    slots: { normal: 1, fallback: 0 },
    folder,
  };
  const runner = startProcess(process.execPath, [entry, 'runner'], {
    env: { DATABASE_URL: url, SLIPWAY_RUNNER: JSON.stringify(settings) },
  });
  await runner.waitForOutput(/\[task \d+\] hello "world"/);
  runner.signal('SIGTERM');
  expect(await runner.exited, runner.output()).toEqual({ code: 0, signal: null });
});

test('a runner without settings says what it lacks', async () => {
  expect(await slipway(['runner'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('SLIPWAY_RUNNER is not set'),
  });
});
