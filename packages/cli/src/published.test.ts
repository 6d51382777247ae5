import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { freePort, installPackage, temporaryFolder } from '@slipway/testing';
import { trustedJson } from './trusted-json.ts';
import type { UpInfo } from './up/supervise.ts';
import { version } from './version.ts';

const run = promisify(execFile);
const cli = join(import.meta.dirname, '..');
const modules = join(cli, '..', '..', 'node_modules');

test('what is published runs on its own, with nothing but its dependencies', async () => {
  const { folder, home } = await installed();
  const slipway = async (...args: string[]) =>
    run(process.execPath, [join(folder, 'packages', 'cli', 'src', 'main.js'), ...args], {
      cwd: folder,
      env: { ...process.env, SLIPWAY_HOME: home, DATABASE_URL: undefined, NODE_COMPILE_CACHE: undefined },
    });
  expect((await slipway('--version')).stdout).toBe(`${version}\n`);
  expect((await slipway('--help')).stdout).toContain('run Slipway on this machine, until Ctrl-C');
  expect(trustedJson((await slipway('schema', '--json')).stdout)).toHaveProperty('properties.services');

  await expect(slipway('runner')).rejects.toThrow(/SLIPWAY_RUNNER is not set/);

  onTestFinished(async () => void (await slipway('down')));
  const ports = ['--port', String(await freePort()), '--router-port', String(await freePort())];
  const { stdout } = await slipway('up', '--detach', '--json', '--example', ...ports);
  const { url } = trustedJson<UpInfo>(stdout);
  expect(await (await fetch(url)).text()).toContain('<title>Slipway</title>');
  expect((await slipway('status', 'shop')).stdout).toMatch(/staging\s+ready/);
});

/** Builds, packs and unpacks it as `npm install` would. */
async function installed(): Promise<{ folder: string; home: string }> {
  const [root, home] = await Promise.all([temporaryFolder(), temporaryFolder()]);
  const dist = join(root, 'dist');
  await run(process.execPath, [join(modules, 'rolldown', 'bin', 'cli.mjs'), '-c', 'rolldown.config.ts'], {
    cwd: cli,
    env: { ...process.env, SLIPWAY_DIST: dist },
  });
  const folder = await installPackage(dist, root);
  return { folder, home };
}
