import { stat, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePort, startProcess, temporaryFolder } from '@slipway/testing';
import type { ApiApp, ApiEnvironment, ApiEvent, ApiRelease, ApiRollout } from './api.ts';
import { Client } from './client.ts';
import { followRollout } from './follow.ts';
import { startProgress } from './progress.ts';
import { fakeApi, problem } from './test/fake-api.ts';
import { entry, slipway } from './test/slipway.ts';

/** How commands ask the API and print what it answers. */

const commit = '1234567890abcdef1234567890abcdef12345678';

const rollout: ApiRollout = {
  id: 'r1',
  app: 'shop',
  environment: 'staging',
  kind: 'deploy',
  state: 'running',
  step: 'starts release 8',
  commit,
  release: 8,
  reason: null,
  approval: 'none',
  actor: 'admin',
  createdAt: '2026-01-02T03:04:05Z',
  finishedAt: null,
};

const staging: ApiEnvironment = {
  app: 'shop',
  environment: 'staging',
  kind: 'branch',
  engine: 'machine',
  state: 'ready',
  reason: null,
  release: { number: 7, commit },
  services: [
    { name: 'web', ready: 2, desired: 2, url: 'http://staging.shop.localhost:7380' },
    { name: 'api', ready: 1, desired: 1, url: null },
  ],
  workers: [{ name: 'mailer', ready: 0, desired: 1 }],
  url: 'http://staging.shop.localhost:7380',
  branch: 'main',
  from: null,
  pullRequest: null,
  protected: false,
  heldSince: null,
  expiresAt: null,
  rollout: null,
  updatedAt: '2026-01-02T03:04:05Z',
};

const preview: ApiEnvironment = {
  ...staging,
  environment: 'pr-3',
  kind: 'pull-request',
  branch: 'feature/x',
  state: 'failing',
  reason: 'check test failed',
  release: null,
  services: [],
  workers: [],
  url: null,
};

const app: ApiApp = {
  app: 'shop',
  defaultBranch: 'main',
  cloneUrl: 'http://127.0.0.1:7300/git/shop.git',
  environments: [staging, preview],
  createdAt: '2026-01-02T03:04:05Z',
};

test('status shows every environment, and with --json exactly what the API says', async () => {
  const home = await temporaryFolder();
  await fakeApi(home, {
    'GET /api/apps': { apps: [app] },
    'GET /api/apps/shop/environments/staging': staging,
  });
  const all = await slipway(['status'], { home });
  expect(all.stdout).toBe(
    [
      'APP   ENVIRONMENT       STATE    RELEASE      READY  WHERE OR WHY',
      'shop  staging           ready    7 (1234567)  3/4    http://staging.shop.localhost:7380',
      'shop  pr-3 (feature/x)  failing  -            0/0    check test failed',
      '',
    ].join('\n'),
  );
  const one = await slipway(['status', 'shop/staging', '--json'], { home });
  expect(one.code).toBe(0);
  expect(JSON.parse(one.stdout)).toEqual(staging);
  expect((await slipway(['status', 'shop/staging'], { home })).stdout).toContain(
    'service  web     2/2    http://staging',
  );
});

test('a branch name with slashes names a preview', async () => {
  const home = await temporaryFolder();
  const { asked } = await fakeApi(home, { 'GET /api/apps/shop/environments/feature%2Fx': preview });
  expect((await slipway(['status', 'shop/feature/x'], { home })).stdout).toContain('check test failed');
  expect(asked).toEqual(['GET /api/apps/shop/environments/feature%2Fx']);
});

test('releases, events and why are told line by line', async () => {
  const home = await temporaryFolder();
  const release: ApiRelease = {
    app: 'shop',
    number: 7,
    environment: 'staging',
    commit,
    subject: 'Sell more',
    author: 'Ada',
    artifact: 'a',
    current: true,
    createdAt: '2026-01-02T03:04:05Z',
    actor: 'admin',
  };
  await fakeApi(home, {
    'GET /api/apps/shop/releases?limit=20': { releases: [release] },
    'GET /api/events?app=shop&environment=staging&limit=100': { events: [event(1, 'release 7 is ready')] },
    'GET /api/events?app=shop&environment=stagin&limit=100': { events: [] },
    'GET /api/why?thing=shop%2Fstaging': {
      subject: 'environment shop/staging',
      summary: 'waits for approval',
      timeline: [
        { at: '2026-01-02T03:04:05Z', kind: 'happened', message: 'pushed', unblock: null },
        { at: '2026-01-02T03:04:06Z', kind: 'awaited', message: 'approval', unblock: 'slipway approve r1' },
      ],
    },
  });
  expect((await slipway(['releases', 'shop'], { home })).stdout).toMatch(
    /7 \*\s+staging\s+1234567 .* Ada\s+Sell more\n/,
  );
  expect((await slipway(['events', 'shop/staging'], { home })).stdout).toMatch(
    / {2}shop\/staging {2}release 7 is ready\n/,
  );
  expect(await slipway(['events', 'shop/stagin'], { home })).toEqual({
    code: 2,
    stdout: '',
    stderr: 'slipway: there is no /api/apps/shop/environments/stagin.\n',
  });
  const why = (await slipway(['why', 'shop/staging'], { home })).stdout;
  expect(why).toMatch(/^environment shop\/staging: waits for approval\n/);
  expect(why).toMatch(/awaited since {2}approval\n\s+to go on: slipway approve r1\n$/);
});

test('deploy follows the rollout to its end', async () => {
  const home = await temporaryFolder();
  const { asked } = await fakeApi(home, {
    'POST /api/apps/shop/environments/staging/deploy': rollout,
    'GET /api/stream?app=shop&environment=staging': (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      send(response, 'environment', { ...staging, rollout });
      response.write('event: synced\ndata: {}\n\n');
      send(response, 'environment', { ...staging, rollout: { ...rollout, state: 'succeeded' } });
    },
    'GET /api/apps/shop/environments/staging': staging,
  });
  const done = await slipway(['deploy', 'shop/staging', '--commit', '1234567'], { home });
  expect(done).toEqual({
    code: 0,
    stdout: 'shop/staging: release 8 (1234567) is ready  http://staging.shop.localhost:7380\n',
    stderr: '',
  });
  expect(asked[0]).toBe('POST /api/apps/shop/environments/staging/deploy {"commit":"1234567"}');
});

test('a failed rollout exits with 1 and the reason, also when the stream was cut and a newer one began', async () => {
  const home = await temporaryFolder();
  let streams = 0;
  const failed = { ...rollout, state: 'failed' as const, reason: 'api crashed: out of cheese' };
  await fakeApi(home, {
    'POST /api/apps/shop/environments/staging/rollback': rollout,
    'GET /api/stream?app=shop&environment=staging': (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (++streams === 1) response.socket?.destroy();
      else send(response, 'environment', { ...staging, rollout: { ...rollout, id: 'r2' } });
    },
    'GET /api/rollouts/r1': failed,
  });
  const human = await slipway(['rollback', 'shop/staging', '--to', '6'], { home });
  expect({ code: human.code, stdout: human.stdout }).toEqual({ code: 1, stdout: '' });
  expect(human.stderr).toContain(
    'slipway: the rollout of 1234567 to shop/staging failed. api crashed: out of cheese\n',
  );
  const json = await slipway(['rollback', 'shop/staging', '--json'], { home });
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toEqual(failed);
});

test('a control plane that does not come back is not waited for without end', async () => {
  const client = new Client({ url: `http://127.0.0.1:${await freePort()}`, token: 'secret' });
  await expect(followRollout(client, rollout, startProgress(true), 0.1)).rejects.toMatchObject({
    kind: 'transient',
    message: expect.stringMatching(/does not answer \(ECONNREFUSED\), since 0.1 s$/),
    hint: 'The rollout goes on when it runs again. Look then: slipway why r1',
  });
});

test('--no-wait returns at once, and Ctrl-C leaves the rollout running', async () => {
  const home = await temporaryFolder();
  await fakeApi(home, {
    'POST /api/apps/shop/environments/production/promote': { ...rollout, environment: 'production' },
    'GET /api/stream?app=shop&environment=production': (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n');
      child.signal('SIGINT');
    },
  });
  const begun = await slipway(['promote', 'shop/production', '--no-wait'], { home });
  expect(begun).toMatchObject({
    code: 0,
    stdout: 'Rollout r1 of 1234567 to shop/production has begun. Look: slipway why r1\n',
  });
  const child = startProcess(process.execPath, [entry, 'promote', 'shop/production', '--home', home]);
  expect(await child.exited).toEqual({ code: 130, signal: null });
  expect(child.output()).toContain('The rollout goes on without this command. Look: slipway why r1');
});

test('run prints what the job writes, and its failure', async () => {
  const home = await temporaryFolder();
  const log = {
    at: '2026-01-02T03:04:05Z',
    source: 'report',
    instance: 'i',
    release: 7,
    stream: 'stdout',
    line: 'counting',
  };
  await fakeApi(home, {
    'POST /api/apps/shop/environments/staging/jobs/report/run': (_: IncomingMessage, response: ServerResponse) => {
      response.write(`${JSON.stringify({ log })}\n`);
      response.end(`${JSON.stringify({ result: { job: 'report', outcome: 'failed', exitCode: 3, reason: null } })}\n`);
    },
    'GET /api/apps/shop/environments/staging/logs?lines=5&source=report': (
      _: IncomingMessage,
      response: ServerResponse,
    ) => {
      response.end(`${JSON.stringify(log)}\n`);
    },
  });
  expect(await slipway(['run', 'shop/staging', 'report'], { home })).toEqual({
    code: 1,
    stdout: 'counting\n',
    stderr: 'slipway: job report failed with exit code 3.\n',
  });
  expect((await slipway(['logs', 'shop/staging', 'report', '--lines', '5'], { home })).stdout).toMatch(
    /report 7 {2}counting\n$/,
  );
});

test('what the control plane refuses is said in its words, with the exit code of its kind', async () => {
  const home = await temporaryFolder();
  const { url } = await fakeApi(home, {
    'DELETE /api/apps/shop/environments/production': (_: IncomingMessage, response: ServerResponse) =>
      problem(response, 409, 'conflict', 'production is protected', 'Type its name: --confirm production'),
    'GET /api/apps': (_: IncomingMessage, response: ServerResponse) => response.writeHead(502).end('<html>bad gateway'),
  });
  expect(await slipway(['remove', 'shop/production'], { home })).toEqual({
    code: 1,
    stdout: '',
    stderr: 'slipway: production is protected. Type its name: --confirm production\n',
  });
  expect((await slipway(['status', 'nope'], { home })).code).toBe(2);
  expect((await slipway(['status'], { home })).stderr).toContain(
    `what answers at ${url} is not a Slipway control plane`,
  );
});

test('login checks the token, keeps it to this user, and logout forgets it', async () => {
  const [home, server] = [await temporaryFolder(), await temporaryFolder()];
  const { url } = await fakeApi(server, {
    'GET /api/me': { name: 'ada', role: 'admin' },
    'GET /api/apps': { apps: [] },
  });
  expect(await slipway(['login', url], { home, input: 'wrong\n' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('not known'),
  });
  expect(await slipway(['login', url], { home, input: 'secret\n' })).toMatchObject({
    code: 0,
    stdout: `Logged in to ${url} as ada (admin). Undo it: slipway logout\n`,
  });
  expect((await stat(join(home, 'login.json'))).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(join(home, 'login.json'), 'utf8'))).toEqual({ url, token: 'secret' });
  expect((await slipway(['status', '--json'], { home })).stdout).toBe('{"apps":[]}\n');
  const asked = `protocol=http\nhost=${new URL(url).host}\n\n`;
  expect((await slipway(['credential', 'get'], { home, input: asked })).stdout).toBe(
    'username=slipway\npassword=secret\n',
  );
  expect((await slipway(['credential', 'get'], { home, input: 'protocol=https\nhost=evil.example\n\n' })).stdout).toBe(
    '',
  );
  expect((await slipway(['logout'], { home })).code).toBe(0);
  expect((await slipway(['status'], { home })).code).toBe(1);
});

test('a damaged login file is named, not followed by a stack', async () => {
  const home = await temporaryFolder();
  await writeFile(join(home, 'login.json'), '{');
  const { code, stderr } = await slipway(['status'], { home });
  expect(code).toBe(2);
  expect(stderr).toContain(`${join(home, 'login.json')} is damaged: it is not JSON. Remove it`);
});

function event(id: number, message: string): ApiEvent {
  return {
    id,
    at: '2026-01-02T03:04:05Z',
    app: 'shop',
    environment: 'staging',
    commit,
    kind: 'rollout.succeeded',
    message,
    actor: 'admin',
    data: {},
  };
}

function send(response: ServerResponse, name: string, data: unknown): void {
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}
