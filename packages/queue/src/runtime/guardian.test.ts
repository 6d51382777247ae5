import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { startProcess, temporaryFolder, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { everyMark, killAll } from '../processes/index.ts';
import { Guardian } from './guardian.ts';
import { runnerUnderTest } from './runner-under-test.ts';

const variable = 'SLIPWAY_GUARDIAN_TEST';

test.for(['per-task', 'kept'])('nothing of a %s command outlives its supervisor by more than a second', async (how) => {
  const folder = await temporaryFolder();
  const mark = `${process.pid}.${how}`;
  const program = `
    import { CommandRunner } from '${path.join(import.meta.dirname, 'command-runner.ts')}';
    const limits = { cpu: 1, memoryBytes: 1e9, timeoutSeconds: 600 };
    const runner = new CommandRunner({
      command: "trap '' TERM; (setsid sleep 300 &); setsid sleep 301 & sleep 302; sleep 303",
      cwd: '/', env: { PATH: process.env.PATH, ${variable}: '${mark}' }, process: '${how}',
      limits: { normal: limits, fallback: limits }, slots: { normal: 2, fallback: 0 }, folder: '${folder}',
    });
    runner.start();
    for (let i = 0; i < 2; i++) {
      const folder = await runner.prepare();
      void runner.run({ id: String(i), attempt: 1, lane: 'normal', payload: null, folder }, { signal: new AbortController().signal });
    }
    console.log('up');`;
  const supervisor = startProcess(process.execPath, ['--input-type=module', '-e', program]);
  const left = async () => (await everyMark(variable)).get(mark) ?? [];
  onTestFinished(async () => killAll(await left()));
  // A shell and three sleepers for each attempt; a wrapper more for those that run once.
  await waitFor(async () => (await left()).length === (how === 'kept' ? 8 : 10), { what: 'both trees' });
  const killedAt = performance.now();
  supervisor.signal('SIGKILL');
  await waitFor(async () => (await left()).length === 0, { what: 'the end of all' });
  expect(performance.now() - killedAt).toBeLessThan(1500);
  expect(await readdir(folder)).toHaveLength(2);
  const next = await runnerUnderTest('true', { folder });
  await waitFor(async () => (await readdir(folder)).length === 0, { what: 'the folders of the killed one to go' });
  expect((await next.run()).end).toEqual({ kind: 'done' });
});

test('a guardian that is killed is replaced by one that knows as much', async () => {
  const sleeper = startProcess('sleep', ['300']);
  const guardian = new Guardian('SLIPWAY_NOBODY=x', null);
  guardian.start();
  onTestFinished(() => guardian.stop());
  guardian.add(999_999);
  guardian.add(sleeper.pid);
  guardian.delete(999_999);
  const first = guardian.pid ?? 0;
  process.kill(first, 'SIGKILL');
  await waitFor(() => guardian.pid !== first, { what: 'another guardian' });
  await guardian.stop();
  expect((await sleeper.exited).signal).toBe('SIGKILL');
});

test('what was taken from a guardian again is let be', async () => {
  const [one, two] = [startProcess('sleep', ['300']), startProcess('sleep', ['300'])];
  const guardian = new Guardian('SLIPWAY_NOBODY=x', null);
  guardian.start();
  guardian.add(one.pid);
  guardian.add(two.pid);
  guardian.delete(one.pid);
  await guardian.stop();
  await guardian.stop();
  expect((await two.exited).signal).toBe('SIGKILL');
  one.signal('SIGTERM');
  expect((await one.exited).signal).toBe('SIGTERM');
});
