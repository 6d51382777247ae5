import { execFile } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, temporaryFolder, waitFor } from '@slipway/testing';
import type { ApiEnvironment, ApiToken } from '../api.ts';
import { filesOf } from '../home.ts';
import { slipway } from '../test/slipway.ts';
import { trustedJson } from '../trusted-json.ts';

/** The whole way with the example app, as a new user goes it: a real push, real processes, every command. */

const run = promisify(execFile);
let home: string;
let routerPort: number;
let ports: string[];

beforeAll(async () => {
  home = await temporaryFolder();
  routerPort = await freePort();
  ports = ['--port', String(await freePort()), '--router-port', String(routerPort)];
});
afterAll(async () => {
  await slipway(['down'], { home });
});

test('up --example ends with staging and a preview, and pushes only once', async () => {
  const first = await slipway(['up', '--example', '--detach', ...ports], { home });
  expect(first.code, first.stderr).toBe(0);
  expect(first.stderr).toMatch(/remote: check test \.\.\. passed/);
  expect(first.stderr).toMatch(/remote: staging: release \d+ ready http:/);
  expect(first.stdout).toContain(
    `staging              http://staging.shop.localhost:${routerPort}\n` +
      `pr-1 (new-headline)  http://pr-1.shop.localhost:${routerPort}\n`,
  );
  const token = readFileSync(filesOf(home).token, 'utf8').trim();
  expect(first.stderr).not.toContain(token);

  expect(await page('staging.shop.localhost')).toContain('Everything for a small boat');
  expect(await page('pr-1.shop.localhost')).toContain('New in the harbour');

  const again = await slipway(['up', '--example'], { home });
  expect(again.code).toBe(0);
  expect(again.stderr).toBe('');
  expect(again.stdout).toContain('already runs');
});

test('status says what a program needs', async () => {
  const status = await environment();
  expect(status).toMatchObject({
    environment: 'staging',
    state: 'ready',
    release: { number: 1, commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
    url: `http://staging.shop.localhost:${routerPort}`,
  });
  expect(status.services).toContainEqual({ name: 'api', ready: 1, desired: 1, url: null });
});

test('a person pushes from its repository without typing a token, and rolls back', async () => {
  const folder = filesOf(home).example;
  appendFileSync(join(folder, 'README.md'), '\nOpen on Sundays.\n');
  // As on a person's machine: whatever their own git is configured to ask.
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' };
  await run('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', 'commit', '-qam', 'Open on Sundays'], {
    cwd: folder,
    env,
  });
  const { stderr } = await run('git', ['push', 'slipway', 'main'], { cwd: folder, env });
  expect(stderr).toMatch(/remote: staging: release \d+ ready/);
  const newer = (await environment()).release;
  expect(newer?.number).toBeGreaterThan(1);

  const back = await slipway(['rollback', 'shop/staging'], { home });
  expect(back).toMatchObject({ code: 0, stdout: expect.stringContaining('shop/staging: release ') });
  expect((await environment()).release?.commit).not.toBe(newer?.commit);
  const forward = await slipway(['deploy', 'shop/staging', '--commit', newer?.commit ?? '', '--json'], { home });
  expect(trustedJson(forward.stdout)).toMatchObject({ state: 'succeeded', commit: newer?.commit });
  expect((await slipway(['releases', 'shop'], { home })).stdout).toContain('Open on Sundays');
});

test('production gets what staging runs, once an admin approves it', async () => {
  const deployer = await loggedIn('deployer');
  const waiting = await slipway(['promote', 'shop/production', '--no-wait', '--json'], { home: deployer });
  const { id, approval } = trustedJson<{ id: string; approval: string }>(waiting.stdout);
  expect(approval).toBe('required');
  const why = await slipway(['why', id], { home });
  expect(why.stdout).toContain(`slipway approve ${id}`);
  expect((await slipway(['approve', id], { home: deployer })).code).toBe(2);
  const approved = await slipway(['approve', id], { home });
  expect(approved).toMatchObject({ code: 0, stdout: expect.stringContaining('shop/production: release ') });
  const refused = await slipway(['remove', 'shop/production'], { home });
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('production');
});

test('jobs, logs and exec reach the processes', async () => {
  expect(await slipway(['run', 'shop/staging', 'migrate'], { home })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('migrate: staging'),
  });
  expect((await slipway(['logs', 'shop/staging', 'web'], { home })).stdout).toContain('listens on 127.0.0.1:');
  const exec = await slipway(['exec', 'shop/staging', 'api', '--', 'sh', '-c', 'cat; echo "$SHOP_NAME" >&2; exit 3'], {
    home,
    input: 'ahoy',
  });
  expect(exec).toEqual({
    code: 1,
    stdout: 'ahoy',
    stderr: 'The Slipway Shop (staging)\nslipway: the command ended with exit code 3.\n',
  });
  expect((await slipway(['exec', 'shop/nowhere', '--', 'ls'], { home })).code).toBe(2);
  expect((await slipway(['run', 'shop/staging', 'migrat'], { home })).stderr).toContain('Did you mean migrate?');
});

test('a token of a role may do what the role may, until it is revoked', async () => {
  const viewer = await loggedIn('viewer');
  expect((await slipway(['status', 'shop'], { home: viewer })).code).toBe(0);
  const denied = await slipway(['rollback', 'shop/staging', '--json'], { home: viewer });
  expect(denied.code).toBe(2);
  expect(trustedJson(denied.stdout)).toMatchObject({ error: { kind: 'denied' } });
  const { tokens } = trustedJson<{ tokens: ApiToken[] }>((await slipway(['token', 'list', '--json'], { home })).stdout);
  const id = tokens.find(({ role }) => role === 'viewer')?.id ?? '';
  expect((await slipway(['token', 'revoke', id], { home })).code).toBe(0);
  expect((await slipway(['status'], { home: viewer })).code).toBe(2);
});

test('a second start keeps everything and pushes nothing', async () => {
  const before = await environment();
  expect((await slipway(['down'], { home })).code).toBe(0);
  const second = await slipway(['up', '--example', '--detach'], { home });
  expect(second.stderr).toBe('');
  expect(second.code).toBe(0);
  expect((await environment()).release).toEqual(before.release);
  await waitFor(async () => (await page('staging.shop.localhost')).includes('small boat'), {
    what: 'the page to be back',
  });
});

async function environment(): Promise<ApiEnvironment> {
  return trustedJson<ApiEnvironment>((await slipway(['status', 'shop/staging', '--json'], { home })).stdout);
}

/** A home elsewhere that is logged in here with a new token of this role. */
async function loggedIn(role: string): Promise<string> {
  const elsewhere = await temporaryFolder();
  const created = await slipway(['token', 'create', role, '--role', role], { home });
  const { url } = trustedJson<{ url: string }>(readFileSync(filesOf(home).server, 'utf8'));
  const login = await slipway(['login', url], { home: elsewhere, input: created.stdout });
  expect(login.stdout).toContain(`as ${role} (${role})`);
  return elsewhere;
}

/** Through the router, by host name; not every resolver knows *.localhost. */
async function page(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: routerPort, headers: { host } }, (response) => resolve(text(response)))
      .on('error', reject)
      .end();
  });
}
