import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import path from 'node:path';
import { getRequestListener } from '@hono/node-server';
import type { Engine, LogRequest } from '@slipway/engine';
import { GitForge } from '@slipway/forge';
import { createMachineEngine } from '@slipway/machine';
import { connectPool, Queue } from '@slipway/queue';
import { folderStore } from '@slipway/queue/objects';
import { waitFor } from '@slipway/testing';
import { onTestFinished, expect, test } from 'vitest';
import { createApi } from './api/api.ts';
import { ExecSockets } from './api/exec.ts';
import type { Context } from './context.ts';
import { QueueKinds } from './workers/queue-kinds.ts';
import { openQueueAccess } from './workers/queue-access.ts';
import { tasksSchema } from './workers/queue-name.ts';
import { Engines } from './environments/engines.ts';
import { Fleet } from './environments/fleet.ts';
import { Changes } from './events/changes.ts';
import { sampleApp, SlipwayUnderTest } from './slipway-under-test.ts';

/** What is held for clients at this moment. */
const held = { listeners: 0, logs: 0, execs: 0 };

class CountedChanges extends Changes {
  override onEvent(listener: Parameters<Changes['onEvent']>[0]): () => void {
    return counted(super.onEvent(listener));
  }
  override onEnvironment(listener: Parameters<Changes['onEnvironment']>[0]): () => void {
    return counted(super.onEnvironment(listener));
  }
}

function counted(off: () => void): () => void {
  held.listeners += 1;
  return () => {
    held.listeners -= 1;
    off();
  };
}

/** The real engine; what streams from it is counted. */
function countedEngine(engine: Engine): Engine {
  const logs: Engine['logs'] = async function* (request: LogRequest, signal: AbortSignal) {
    held.logs += 1;
    try {
      yield* engine.logs(request, signal);
    } finally {
      held.logs -= 1;
    }
  };
  const exec: Engine['exec'] = async (request, io) => {
    held.execs += 1;
    return await engine.exec(request, io).finally(() => (held.execs -= 1));
  };
  return new Proxy(engine, {
    get(target, key) {
      if (key === 'logs') return logs;
      if (key === 'exec') return exec;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Another control plane's HTTP face over the same database and engine, in this process, so that what it holds can be counted. */
async function secondFace(slipway: SlipwayUnderTest): Promise<string> {
  const log = () => undefined;
  const pool = connectPool(slipway.databaseUrl, { max: 8 });
  onTestFinished(() => pool.end());
  const engine = countedEngine(createMachineEngine({ folder: path.join(slipway.home, 'agent') }));
  const changes = new CountedChanges(pool, log);
  const engines = new Engines({
    machine: {
      engine,
      fleet: new Fleet(engine, log),
      domain: 'localhost',
      port: `:${slipway.routerPort}`,
      controlPlaneUrl: null,
    },
    source: { names: async () => [], open: async () => null },
    changes,
    log,
  });
  for (const part of [changes, engines]) {
    await part.start();
    onTestFinished(() => part.stop());
  }
  const folder = path.join(slipway.home, 'data');
  const context: Context = {
    pool,
    queue: new Queue({ pool }),
    tasks: new Queue({ pool, schema: tasksSchema }),
    objects: folderStore(path.join(folder, 'objects')),
    queueAccess: await openQueueAccess(pool),
    kinds: new QueueKinds({ pool, changes }),
    forge: new GitForge({ folder: path.join(folder, 'repositories'), log }),
    engines,
    changes,
    artifacts: path.join(folder, 'artifacts'),
    log,
  };
  const api = createApi(context, { version: '0', dashboardFolder: null });
  const answer = getRequestListener(api.fetch);
  const server = createServer((request, response) => void answer(request, response));
  const sockets = new ExecSockets(context);
  server.on('upgrade', (request, socket, head) => sockets.upgrade(request, socket, head));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    sockets.stop();
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function open(url: string, token: string): Promise<IncomingMessage> {
  const request = httpRequest(url, { headers: { authorization: `Bearer ${token}` } });
  request.on('error', () => undefined);
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  await once(response, 'data');
  return response;
}

test('clients that go away leave nothing behind: streams, followed logs, exec', async () => {
  const slipway = await SlipwayUnderTest.start();
  const web = `console.log('web is here');\n${sampleApp('shop')['web.js']}`;
  const repository = await slipway.repository('shop', sampleApp('shop', { web }));
  await repository.push();
  const url = await secondFace(slipway);
  const environment = `${url}/api/apps/shop/environments/staging`;

  const streams = await Promise.all(
    Array.from({ length: 20 }, async () => await open(`${url}/api/stream`, slipway.token)),
  );
  expect(held.listeners).toBe(40);
  const logs = await Promise.all(
    Array.from({ length: 5 }, async () => await open(`${environment}/logs?follow=true`, slipway.token)),
  );
  expect(held.logs).toBe(5);
  const sockets = Array.from(
    { length: 5 },
    () => new WebSocket(`${environment.replace('http', 'ws')}/exec?command=cat`, [`slipway.token.${slipway.token}`]),
  );
  await waitFor(() => held.execs === 5, { what: 'five commands' });

  for (const stream of [...streams, ...logs]) stream.destroy();
  for (const socket of sockets) socket.close();
  await waitFor(() => held.listeners === 0 && held.logs === 0 && held.execs === 0, {
    what: 'nothing to be held for clients that are gone',
  });

  // One that leaves before its command began.
  const early = new WebSocket(`${environment.replace('http', 'ws')}/exec?command=cat`, [
    `slipway.token.${slipway.token}`,
  ]);
  early.addEventListener('open', () => early.close());
  await once(early as unknown as NodeJS.EventEmitter, 'close').catch(() => undefined);
  await waitFor(() => held.execs === 0, { what: 'the command of a client that left at once to be ended' });
});

test('Last-Event-ID: a stream goes on where it broke off, and tells nothing twice', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop'));
  await repository.push();
  const before = await slipway.events('shop');
  const from = before[3];
  if (!from) throw new Error('a push makes more events than that');
  const abort = new AbortController();
  const stream = await fetch(`${slipway.url}/api/stream?app=shop`, {
    headers: { authorization: `Bearer ${slipway.token}`, 'last-event-id': String(from.id) },
    signal: abort.signal,
  });
  let text = '';
  const reading = (async () => {
    const decoder = new TextDecoder();
    if (stream.body) for await (const chunk of stream.body) text += decoder.decode(chunk, { stream: true });
  })().catch(() => undefined);
  const ids = () => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  await waitFor(() => text.includes('event: synced'), { what: 'synced' });
  expect(ids()).toEqual(before.slice(4).map(({ id }) => id));
  await repository.commit({ 'text.txt': 'two' }, 'Two');
  await repository.push();
  const after = (await slipway.events('shop')).slice(4).map(({ id }) => id);
  await waitFor(() => ids().length >= after.length, { what: 'the events of the second push' });
  expect(ids().toSorted((a, b) => a - b)).toEqual(after);
  abort.abort();
  await reading;
});

test('a session is a cookie that only our own pages may use', async () => {
  const slipway = await SlipwayUnderTest.start();
  const session = async (method: string, headers: Record<string, string>, body?: object) =>
    await fetch(`${slipway.url}/api/session`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  expect((await session('POST', {}, { token: 'slw_wrong' })).status).toBe(401);
  expect((await session('POST', { 'sec-fetch-site': 'cross-site' }, { token: slipway.token })).status).toBe(403);
  const login = await session('POST', {}, { token: slipway.token });
  expect(login.status).toBe(204);
  const cookie = login.headers.getSetCookie()[0] ?? '';
  expect(cookie).toMatch(/^slipway_session=.*HttpOnly; SameSite=Strict/);
  const headers = { cookie: cookie.split(';')[0] ?? '' };

  expect(await (await fetch(`${slipway.url}/api/me`, { headers })).json()).toEqual({ name: 'local', role: 'admin' });
  const make = async (site: string) =>
    await fetch(`${slipway.url}/api/tokens`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'sec-fetch-site': site },
      body: JSON.stringify({ name: 'x', role: 'viewer' }),
    });
  const refused = await make('cross-site');
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ kind: 'denied' });
  expect((await make('same-origin')).status).toBe(201);

  const logout = await session('DELETE', headers);
  expect(logout.headers.getSetCookie()[0]).toMatch(/^slipway_session=;.*Max-Age=0/);
});

test('an upgrade that is no request for exec, or comes from elsewhere, is refused and ends nothing', async () => {
  const slipway = await SlipwayUnderTest.start();
  const exec = '/api/apps/shop/environments/staging/exec?command=id';
  const upgrade = async (target: string, headers: string): Promise<string> =>
    await new Promise((resolve, reject) => {
      const socket = connect(slipway.port, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('end', () => resolve(text.split('\r\n')[0] ?? ''));
      socket.on('error', reject);
      socket.write(
        `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${headers}\r\n`,
      );
    });
  expect(await upgrade('//', '')).toBe('HTTP/1.1 404 Not Found');
  expect(await upgrade(exec, 'Origin: null\r\n')).toBe('HTTP/1.1 401 Unauthorized');
  // The browser sends the cookie along; the page is another site's.
  const cookie = `Cookie: slipway_session=${slipway.token}\r\n`;
  expect(await upgrade(exec, `Origin: http://evil.example\r\n${cookie}`)).toBe('HTTP/1.1 401 Unauthorized');
  const reset = connect(slipway.port, '127.0.0.1');
  await once(reset, 'connect');
  reset.write(`GET ${exec} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`);
  reset.resetAndDestroy();
  expect((await fetch(`${slipway.url}/healthz`)).status).toBe(200);
});
