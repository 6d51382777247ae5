import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import { Repository, sampleApp, sampleYaml, SlipwayUnderTest } from './slipway-under-test.ts';

/** What people may do, and what waits for them. */

const delivery = `environments:
  staging: { branch: main }
  production: { from: staging, approve: true, protected: true }
  preview: { pull-requests: true }
`;

test('roles: a viewer reads, a deployer deploys, an admin approves; a revoked token opens nothing', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop', delivery) }));
  await repository.push();
  const token = async (role: string) =>
    await slipway.api<{ id: string; token: string }>('POST', '/tokens', { name: role, role });
  const viewer = await token('viewer');
  const deployer = await token('deployer');

  expect(await slipway.api('GET', '/apps/shop', undefined, viewer.token)).toMatchObject({ app: 'shop' });
  const asViewer = new Repository(repository.folder, slipway.remote('shop', viewer.token));
  await expect(asViewer.push()).rejects.toThrow(/is a viewer and may not push/);
  await expect(slipway.api('POST', '/apps/shop/environments/staging/rollback', {}, viewer.token)).rejects.toThrow(
    /403.*needs a deployer/,
  );
  const asDeployer = new Repository(repository.folder, slipway.remote('other', deployer.token));
  await expect(asDeployer.push()).rejects.toThrow(/first push, which creates it, is an admin's/);
  await expect(slipway.api('POST', '/tokens', { name: 'x', role: 'admin' }, deployer.token)).rejects.toThrow(/403/);

  // A deployer's promotion waits for an admin.
  const promotion = await slipway.api<{ id: string }>(
    'POST',
    '/apps/shop/environments/production/promote',
    {},
    deployer.token,
  );
  await slipway.until('shop', 'production', 'waits for approval', ({ reason }) =>
    /waits for approval: slipway approve/.test(reason ?? ''),
  );
  await expect(slipway.api('POST', `/rollouts/${promotion.id}/approve`, undefined, deployer.token)).rejects.toThrow(
    /403/,
  );
  await slipway.api('POST', `/rollouts/${promotion.id}/approve`);
  expect(await slipway.rolloutEnd(promotion.id)).toMatchObject({ state: 'succeeded', kind: 'promote' });
  expect((await slipway.request('production.shop.localhost')).status).toBe(200);

  // An admin's own promotion is approved by asking for it.
  await repository.commit({ 'text.txt': 'two' }, 'Two');
  await repository.push();
  const own = await slipway.api<{ id: string }>('POST', '/apps/shop/environments/production/promote', {});
  expect(await slipway.rolloutEnd(own.id)).toMatchObject({ state: 'succeeded' });

  await slipway.api('DELETE', `/tokens/${viewer.id}`);
  await expect(slipway.api('GET', '/apps', undefined, viewer.token)).rejects.toThrow(/401.*revoked/);
  const tokens = await slipway.api<{ tokens: { id: string; name: string }[] }>('GET', '/tokens');
  const admin = tokens.tokens.find(({ name }) => name === 'local');
  await expect(slipway.api('DELETE', `/tokens/${admin?.id}`)).rejects.toThrow(/409.*last admin token/);
});

test('removing: long-lived environments need their name, many previews at once wait for a person', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop', delivery) }));
  await repository.push();
  await expect(slipway.api('DELETE', '/apps/shop/environments/staging')).rejects.toThrow(
    /409.*name typed.*--confirm staging/,
  );
  const branches = ['one', 'two', 'three', 'four'];
  for (const branch of branches) await repository.git('branch', branch);
  await repository.push(...branches);
  await waitFor(
    async () => (await slipway.app('shop')).environments.filter(({ state }) => state === 'ready').length === 5,
    {
      what: 'staging and four previews to be ready',
      seconds: 40,
    },
  );
  expect(await repository.push('--delete', ...branches)).toMatch(/is not removed yet: 4 branches went away at once/);
  expect((await slipway.app('shop')).environments).toHaveLength(6);
  expect((await slipway.environment('shop', 'pr-1')).reason).toMatch(/removal waits for a person/);
  for (const number of [1, 2, 3, 4]) await slipway.api('DELETE', `/apps/shop/environments/pr-${number}`);
  await waitFor(async () => (await slipway.app('shop')).environments.length === 2, {
    what: 'the previews to be gone',
    seconds: 30,
  });
  await slipway.api('DELETE', '/apps/shop/environments/staging?confirm=staging');
  await waitFor(async () => (await slipway.app('shop')).environments.length === 1, {
    what: 'staging to be gone',
    seconds: 30,
  });
  expect((await slipway.request('staging.shop.localhost')).status).toBe(404);
});

test('a preview sleeps, is woken by a request, and expires', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = sampleYaml(
    'shop',
    'environments:\n  staging: { branch: main }\n  preview: { pull-requests: true, sleep: 1s, ttl: 8s }\n',
  );
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml }));
  await repository.push();
  await repository.git('checkout', '-q', '-b', 'feature');
  await repository.push('feature');
  await slipway.until('shop', 'pr-1', 'sleeps', ({ state }) => state === 'asleep');
  const answer = await slipway.request('pr-1.shop.localhost');
  expect(answer.status).toBe(200);
  const { events } = await slipway.api<{ events: { kind: string }[] }>('GET', '/events?app=shop&environment=pr-1');
  expect(events.map(({ kind }) => kind)).toContain('environment.asleep');
  await waitFor(async () => (await slipway.events('shop')).some(({ kind }) => kind === 'environment.removed'), {
    what: 'the preview to be removed when its time is over',
    seconds: 30,
  });
  expect((await slipway.request('pr-1.shop.localhost')).status).toBe(404);
  // Pushing again makes it anew.
  await repository.commit({ 'text.txt': 'again' }, 'Again');
  expect(await repository.push('feature')).toMatch(/pr-1: release \d ready/);
});

test('jobs by hand, logs, exec', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = sampleYaml(
    'shop',
    'jobs:\n  report: { run: "echo $SLIPWAY_ENVIRONMENT has $COLOR; exit 4" }\nconfig: { COLOR: red }\n',
  );
  const repository = await slipway.repository(
    'shop',
    sampleApp('shop', { yaml, web: 'console.log("web is here");\n' + sampleApp('shop')['web.js'] }),
  );
  await repository.push();
  const run = await fetch(`${slipway.url}/api/apps/shop/environments/staging/jobs/report/run`, {
    method: 'POST',
    headers: { authorization: `Bearer ${slipway.token}` },
  });
  const lines = (await run.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { log?: { line: string }; result?: object });
  expect(lines[0]?.log?.line).toBe('staging has red');
  expect(lines.at(-1)?.result).toMatchObject({ job: 'report', outcome: 'failed', exitCode: 4 });
  await expect(slipway.api('POST', '/apps/shop/environments/staging/jobs/reprot/run')).rejects.toThrow(
    /404.*Did you mean report/,
  );
  const logs = await fetch(`${slipway.url}/api/apps/shop/environments/staging/logs?source=web`, {
    headers: { authorization: `Bearer ${slipway.token}` },
  });
  expect(await logs.text()).toContain('web is here');

  const socket = new WebSocket(
    `${slipway.url.replace('http', 'ws')}/api/apps/shop/environments/staging/exec?command=sh&command=-c&command=cat;echo+$COLOR;exit+5`,
    [`slipway.token.${slipway.token}`],
  );
  socket.binaryType = 'arraybuffer';
  let output = '';
  const end = new Promise<string>((resolve, reject) => {
    socket.addEventListener('open', () => {
      socket.send(new TextEncoder().encode('input '));
      socket.send(new Uint8Array());
    });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') resolve(data);
      else output += new TextDecoder().decode((data as ArrayBuffer).slice(1));
    });
    socket.addEventListener('error', () => reject(new Error('the WebSocket failed')));
  });
  expect(JSON.parse(await end)).toEqual({ exitCode: 5 });
  expect(output).toBe('input red\n');
});

test('the stream tells what is, then what changes; OpenAPI describes the API', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop'));
  await repository.push();
  const abort = new AbortController();
  const stream = await fetch(`${slipway.url}/api/stream?app=shop`, {
    headers: { authorization: `Bearer ${slipway.token}` },
    signal: abort.signal,
  });
  let text = '';
  const reading = (async () => {
    const decoder = new TextDecoder();
    if (stream.body) for await (const chunk of stream.body) text += decoder.decode(chunk);
  })().catch(() => undefined);
  await waitFor(() => text.includes('event: synced'), { what: 'synced' });
  expect(text).toContain('"environment":"staging"');
  await repository.commit({ 'text.txt': 'two' }, 'Two');
  await repository.push();
  await waitFor(
    () =>
      /event: event\ndata: .*rollout\.succeeded/.test(text) &&
      text.lastIndexOf('"state":"ready"') > text.indexOf('"state":"rolling"'),
    {
      what: 'the rollout in the stream',
    },
  );
  abort.abort();
  await reading;

  const document = (await (await fetch(`${slipway.url}/openapi.json`)).json()) as { openapi: string; paths: object };
  expect(document.openapi).toBe('3.1.0');
  expect(Object.keys(document.paths)).toContain('/api/apps/{app}/environments/{environment}/rollback');
  const { stdout } = await promisify(execFile)('curl', ['-s', `${slipway.url}/api/apps`]);
  expect(JSON.parse(stdout)).toMatchObject({ status: 401, kind: 'denied' });
});
