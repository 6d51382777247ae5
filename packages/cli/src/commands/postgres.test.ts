import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePort, startProcess, temporaryFolder } from '@slipway/testing';
import { entry, slipway } from '../test/slipway.ts';

test('the parts of `up`, each on its own: the control plane finds the PostgreSQL of its home', async () => {
  const home = await temporaryFolder();
  const token = 'a'.repeat(43);
  const tokenFile = join(home, 'given-token');
  await writeFile(tokenFile, `${token}\n`);
  const start = (...args: string[]) =>
    startProcess(process.execPath, [entry, ...args, '--home', home], {
      env: { DATABASE_URL: undefined, SLIPWAY_HOME: undefined },
    });

  const postgres = start('postgres');
  await postgres.waitForOutput(/postgres: started, process \d+/, 40);
  const port = await freePort();
  const server = start('server', '--port', String(port), '--admin-token-file', tokenFile);
  await expect
    .poll(async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.status ?? server.output(), {
      timeout: 40_000,
    })
    .toBe(200);
  const me = await fetch(`http://127.0.0.1:${port}/api/me`, { headers: { authorization: `Bearer ${token}` } });
  expect(await me.json()).toMatchObject({ role: 'admin' });
  // Commands on the home go on with the token that was given.
  expect((await slipway(['status', '--json'], { home })).stdout).toBe('{"apps":[]}\n');

  server.signal('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
  postgres.signal('SIGTERM');
  expect(await postgres.exited).toEqual({ code: 0, signal: null });
});

test('without a database, and with a token that could be guessed, the control plane says what to do', async () => {
  const home = await temporaryFolder();
  expect((await slipway(['server'], { home })).stderr).toContain('DATABASE_URL is not set');
  const tokenFile = join(home, 'short');
  await writeFile(tokenFile, 'secret');
  const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
  const refused = await slipway(['server', '--admin-token-file', tokenFile], { home, env });
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('holds no token') });
});
