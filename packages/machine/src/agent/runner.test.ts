import { execFile } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { closedRunner, shellWords } from './runner.ts';

test('a shell evaluates the words of the runner to what they were', async () => {
  const words = ['printf', '%s\n', "it's", 'a b', '$HOME `id` "x"', ''];
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', 'eval exec "$SLIPWAY_START_RUNNER"'], {
    env: { PATH: process.env['PATH'], SLIPWAY_START_RUNNER: shellWords(words) },
  });
  expect(stdout).toBe(`it's\na b\n$HOME \`id\` "x"\n\n`);
});

test('a runner that the app user can not read is told, with what to do', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'closed'), { mode: 0o700 });
  await writeFile(join(folder, 'closed', 'runner.js'), '');
  const user = { uid: 65_533, gid: 65_533 };
  const runner = ['node', join(folder, 'closed', 'runner.js')];
  expect(closedRunner(runner, user)).toContain(`can't read ${join(folder, 'closed')}`);
  await chmod(join(folder, 'closed'), 0o755);
  expect(closedRunner(runner, user)).toBeNull();
  expect(closedRunner(['/nowhere'], null)).toBeNull();
});
