import { request } from 'node:http';
import { expect, test } from 'vitest';
import { waitFor, waitUntilStill } from '@slipway/testing';
import type { Router } from './router.ts';
import {
  ask,
  emptyTable,
  RawClient,
  startBackend,
  startNamed,
  startRaw,
  startRouter,
  tableOf,
} from './router-under-test.ts';

/** Resolves when so many requests are inside the router. */
async function held(router: Router, count: number): Promise<void> {
  await waitFor(() => router.inFlight('a/x') === count, { what: `${count} requests to be held` });
}

test('a request without a ready backend is held, and forwarded as soon as there is one', async () => {
  const router = await startRouter();
  const backend = await startNamed('web');
  router.set('a/x', emptyTable());
  const answer = ask(router.port, '/late', { method: 'POST', body: 'kept' });
  await held(router, 1);
  router.set('a/x', emptyTable());
  router.set('a/x', tableOf(backend));
  expect((await answer).body).toBe('web POST /late');
});

test('when nothing becomes ready in time, the table explains', async () => {
  const router = await startRouter({ holdSeconds: 0.05 });
  router.set('a/x', { ...emptyTable(), explanation: 'The migration failed. Run "slipway why a/x".' });
  const explained = await ask(router.port, '/');
  expect(explained.status).toBe(503);
  expect(explained.headers['retry-after']).toBe('5');
  expect(explained.body).toContain('The migration failed. Run "slipway why a/x".');
  router.set('a/x', emptyTable());
  expect((await ask(router.port, '/')).body).toContain('No instance became ready within 0.05 seconds');
  expect(router.inFlight('a/x')).toBe(0);
});

test('new tables without a backend do not prolong the wait', async () => {
  const router = await startRouter({ holdSeconds: 0.3 });
  router.set('a/x', emptyTable());
  const begun = Date.now();
  const answer = ask(router.port, '/');
  await held(router, 1);
  await waitFor(
    () => {
      router.set('a/x', emptyTable());
      return router.inFlight('a/x') === 0;
    },
    { what: 'the wait to end' },
  );
  expect((await answer).status).toBe(503);
  expect(Date.now() - begun).toBeLessThan(2_000);
});

test('concurrent requests wake an environment once, and all are served', async () => {
  const woken: string[] = [];
  const backend = await startNamed('web');
  let awake = (): void => {};
  const router = await startRouter({
    events: {
      wake: (environment) => {
        woken.push(environment);
        return new Promise((resolve) => (awake = resolve));
      },
    },
  });
  router.set('a/x', emptyTable('wake'));
  const answers = [1, 2, 3].map((n) => ask(router.port, `/${n}`));
  await held(router, 3);
  router.set('a/x', tableOf(backend));
  awake();
  expect((await Promise.all(answers)).map((answer) => answer.body)).toEqual(['web GET /1', 'web GET /2', 'web GET /3']);
  expect(woken).toEqual(['a/x']);

  router.set('a/x', emptyTable('wake'));
  const again = ask(router.port, '/again');
  await waitFor(() => woken.length === 2, { what: 'the second wake' });
  router.set('a/x', tableOf(backend));
  expect((await again).status).toBe(200);
});

test('when waking fails, the reason is the answer', async () => {
  const router = await startRouter({
    events: { wake: () => Promise.reject(new Error('The disk is full. Free some space.')) },
  });
  router.set('a/x', emptyTable('wake'));
  const answer = await ask(router.port, '/', { headers: { accept: 'text/html' } });
  expect(answer.status).toBe(503);
  expect(answer.body).toContain('<p>The disk is full. Free some space.</p>');
});

test('a wake that changes nothing does not ask for ever', async () => {
  let calls = 0;
  const router = await startRouter({ events: { wake: () => Promise.resolve(void (calls += 1)) } });
  router.set('a/x', emptyTable('wake'));
  expect((await ask(router.port, '/')).status).toBe(503);
  expect(calls).toBe(1);
});

test('a held client that leaves is dropped', async () => {
  const router = await startRouter();
  let served = 0;
  const backend = await startBackend((_request, response) => {
    served += 1;
    response.end();
  });
  router.set('a/x', emptyTable());
  const client = new RawClient(router.port);
  client.send('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n');
  const websocket = new RawClient(router.port);
  websocket.send('GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await held(router, 2);
  client.socket.destroy();
  websocket.socket.destroy();
  await held(router, 0);
  router.set('a/x', tableOf(backend));
  await ask(router.port, '/');
  expect(served).toBe(1);
});

test('the body of a held upload stays with the client', async () => {
  const router = await startRouter();
  const backend = await startBackend((incoming, response) => {
    let size = 0;
    incoming.on('data', (chunk: Buffer) => (size += chunk.length)).on('end', () => response.end(String(size)));
  });
  router.set('a/x', emptyTable());
  const upload = request({ host: '127.0.0.1', port: router.port, method: 'POST', headers: { host: 'app.test' } });
  const answer = new Promise<string>((resolve) =>
    upload.on('response', (reply) => reply.setEncoding('utf8').on('data', (text: string) => resolve(text))),
  );
  const total = 64 * 1024 * 1024;
  let sent = 0;
  const more = (): void => {
    for (let flows = true; flows && sent < total; sent += 64 * 1024) flows = upload.write(Buffer.alloc(64 * 1024));
    if (sent === total) upload.end();
  };
  upload.on('drain', more);
  more();
  await held(router, 1);
  await waitUntilStill(() => sent, { what: 'the client' });
  expect(sent).toBeLessThan(total);
  router.set('a/x', tableOf(backend));
  expect(await answer).toBe(String(total));
});

test('deleting the environment ends the wait', async () => {
  const router = await startRouter();
  router.set('a/x', emptyTable());
  const answer = ask(router.port, '/');
  await held(router, 1);
  router.delete('a/x');
  expect((await answer).status).toBe(503);
  expect((await ask(router.port, '/')).status).toBe(404);
});

test('a backend that refuses the connection is passed over, also for a POST', async () => {
  const router = await startRouter();
  const dead = await startNamed('dead');
  await dead.stop();
  const alive = await startNamed('alive');
  router.set('a/x', tableOf(dead, alive));
  for (let i = 0; i < 4; i += 1) {
    expect((await ask(router.port, '/', { method: 'POST', body: 'x' })).body).toBe('alive POST /');
  }
});

test('when every backend refuses, the next table is awaited a moment, then it is a 502', async () => {
  const router = await startRouter();
  const dead = await startNamed('dead');
  await dead.stop();
  const alive = await startNamed('alive');
  router.set('a/x', tableOf(dead));
  const saved = ask(router.port, '/', { method: 'POST', body: 'kept' });
  await held(router, 1);
  router.set('a/x', tableOf(alive));
  expect((await saved).body).toBe('alive POST /');
  router.set('a/x', tableOf(dead));
  const answer = await ask(router.port, '/');
  expect(answer.status).toBe(502);
  expect(answer.body).toContain('slipway logs');
});

/** Answers the first request of each connection, and closes it when the second one comes: a keep-alive race made certain. */
async function closesOnSecond(): Promise<{ backend: Awaited<ReturnType<typeof startRaw>>; requests: string[] }> {
  const requests: string[] = [];
  const backend = await startRaw((socket) => {
    let count = 0;
    socket.on('data', (chunk: Buffer) => {
      count += 1;
      requests.push(chunk.toString('latin1'));
      if (count > 1) socket.destroy();
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  return { backend, requests };
}

test('a kept connection that was closed meanwhile is replaced for requests that may be repeated, with their body', async () => {
  const router = await startRouter();
  const { backend, requests } = await closesOnSecond();
  router.set('a/x', tableOf(backend));
  for (let i = 0; i < 5; i += 1) expect((await ask(router.port, '/')).body).toBe('ok');
  expect((await ask(router.port, '/', { method: 'PUT', body: 'again' })).body).toBe('ok');
  expect(requests.at(-1)).toContain('again');
});

test('a POST that a backend may have begun to work on is never sent twice', async () => {
  const router = await startRouter();
  const { backend, requests } = await closesOnSecond();
  router.set('a/x', tableOf(backend));
  await ask(router.port, '/');
  const answer = await ask(router.port, '/', { method: 'POST', body: 'once' });
  expect(answer.status).toBe(502);
  expect(answer.body).toContain('may or may not have been carried out');
  expect(requests.filter((text) => text.includes('once'))).toHaveLength(1);
});

test('a request on a new connection that breaks is not repeated: it may be what kills the backend', async () => {
  const router = await startRouter();
  let requests = 0;
  const backend = await startRaw((socket) =>
    socket.on('data', () => {
      requests += 1;
      socket.destroy();
    }),
  );
  router.set('a/x', tableOf(backend));
  expect((await ask(router.port, '/')).status).toBe(502);
  expect(requests).toBe(1);
});
