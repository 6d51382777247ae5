import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Watcher, hostOf, plan, release, webApp } from '@slipway/engine/conformance';
import { temporaryFolder } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { agentUnderTest } from './agent-under-test.ts';
import { blockedAt, nobody } from './user.ts';

test('without a node on PATH that apps may run, they get the one that runs the agent', async () => {
  const root = await temporaryFolder();
  const [tools, closed] = [join(root, 'tools'), join(root, 'closed')];
  await mkdir(tools);
  for (const tool of ['chmod', 'chown', 'mkfifo'])
    await symlink(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(tools, tool));
  await mkdir(closed);
  // As root's own installation; who is not root has no node at all on this PATH.
  if (process.getuid?.() === 0) await symlink(process.execPath, join(closed, 'node'));
  await chmod(closed, 0o700);
  const under = await agentUnderTest({ path: [closed, tools].join(delimiter) });
  const watcher = new Watcher(under.engine);
  onTestFinished(async () => {
    await watcher.stop();
    await under.dispose();
  });
  await under.engine.converge(plan('user/one', 1, [release(1, await under.artifact(webApp))]));
  await watcher.serves('user/one', 1);
  expect(await (await under.request(hostOf('user/one'), '/release')).text()).toBe('1');
  const node = join(under.folder, 'bin', 'node');
  expect(statSync(node).size).toBe(statSync(process.execPath).size);
  if (process.getuid?.() === 0) expect(blockedAt(node, nobody)).toBe(null);
  const variables = await (await under.request(hostOf('user/one'), '/variables')).text();
  expect(JSON.parse(variables).PATH).toBe([closed, tools, join(under.folder, 'bin')].join(delimiter));
});

test('an agent with a node that apps may run provides none', async () => {
  const under = await agentUnderTest();
  onTestFinished(async () => await under.dispose());
  const usable = process.env['PATH']?.split(delimiter).some((entry) => {
    const candidate = join(entry, 'node');
    return process.getuid?.() === 0 ? blockedAt(candidate, nobody) === null : existsSync(candidate);
  });
  expect(existsSync(join(under.folder, 'bin', 'node'))).toBe(usable !== true);
});
