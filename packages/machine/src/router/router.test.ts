import { once } from 'node:events';
import { Agent, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { waitFor, waitUntilStill } from '@slipway/testing';
import { Router } from './router.ts';
import {
  ask,
  emptyTable,
  RawClient,
  service,
  startBackend,
  startNamed,
  startRaw,
  startRouter,
  tableOf,
} from './router-under-test.ts';

test('routes by host name, whatever its case and port', async () => {
  const router = await startRouter();
  const [one, two] = [await startNamed('one'), await startNamed('two')];
  router.set('a/x', { ...tableOf(one), hosts: ['one.test', 'www.one.test'] });
  router.set('a/y', { ...tableOf(two), hosts: ['two.test'] });
  for (const [host, body] of [
    ['one.test', 'one GET /'],
    ['WWW.One.Test:8080', 'one GET /'],
    ['one.test.', 'one GET /'],
    ['two.test', 'two GET /'],
  ]) {
    expect((await ask(router.port, '/', { headers: { host } })).body).toBe(body);
  }
});

test('an unknown host is explained, in text and in HTML, without naming others', async () => {
  const router = await startRouter();
  router.set('secret/production', { ...emptyTable(), hosts: ['secret.test'] });
  const text = await ask(router.port, '/', { headers: { host: 'nope.test' } });
  expect(text.status).toBe(404);
  expect(text.headers['content-type']).toContain('text/plain');
  expect(text.body).toContain('no environment at "nope.test"');
  expect(text.body).toContain('slipway status');
  expect(text.body).not.toContain('secret');
  const html = await ask(router.port, '/', { headers: { host: 'nope.test', accept: 'text/html,*/*' } });
  expect(html.headers['content-type']).toContain('text/html');
  expect(html.body).toContain('<h1>Nothing at this host name</h1>');
});

test('the longest path prefix wins, by whole segments; the path is passed on unchanged', async () => {
  const router = await startRouter();
  const [web, api, deep] = [await startNamed('web'), await startNamed('api'), await startNamed('deep')];
  router.set('a/x', {
    ...emptyTable(),
    releases: [
      {
        number: 1,
        weight: 100,
        services: [
          { ...service('/', web), name: 'web' },
          { ...service('/api', api), name: 'api' },
          { ...service('/api/deep/', deep), name: 'deep' },
        ],
      },
    ],
  });
  for (const [path, by] of [
    ['/', 'web'],
    ['/api', 'api'],
    ['/api/', 'api'],
    ['/api?q=1', 'api'],
    ['/api/x/../y?a=b%20c', 'api'],
    ['/apix', 'web'],
    ['/api/deep', 'deep'],
    ['/api/deeper', 'api'],
    ['/api/deep/1', 'deep'],
  ]) {
    expect((await ask(router.port, path ?? '')).body).toBe(`${by} GET ${path}`);
  }
});

test('a path that no service has is a 404 at once; a service without a route is not reached by path', async () => {
  const router = await startRouter();
  const [api, inner] = [await startNamed('api'), await startNamed('inner')];
  router.set('a/x', {
    ...emptyTable(),
    releases: [{ number: 1, weight: 1, services: [service('/api', api), { ...service(null, inner), name: 'inner' }] }],
  });
  const answer = await ask(router.port, '/other');
  expect(answer.status).toBe(404);
  expect(answer.body).toContain('Nothing at this path');
});

test('releases get requests by weight, and none with weight 0 or without a ready backend', async () => {
  const router = await startRouter();
  const [old, fresh, none] = [await startNamed('old'), await startNamed('new'), await startNamed('none')];
  const release = (number: number, weight: number, ...backends: Parameters<typeof tableOf>) => ({
    number,
    weight,
    services: [service('/', ...backends)],
  });
  router.set('a/x', { ...emptyTable(), releases: [release(1, 75, old), release(2, 25, fresh), release(3, 0, none)] });
  const count = new Map<string, number>();
  for (let i = 0; i < 40; i += 1) {
    const by = String((await ask(router.port, '/')).headers['x-backend']);
    count.set(by, (count.get(by) ?? 0) + 1);
  }
  expect(Object.fromEntries(count)).toEqual({ old: 30, new: 10 });
  router.set('a/x', { ...emptyTable(), releases: [release(1, 75), release(2, 25, fresh)] });
  expect((await ask(router.port, '/')).headers['x-backend']).toBe('new');
});

test('instances take turns, and a busy one gets less', async () => {
  const router = await startRouter();
  const [one, two] = [await startNamed('one'), await startNamed('two')];
  const slow = await startBackend((_request, response) =>
    response.writeHead(200, { 'x-backend': 'slow' }).flushHeaders(),
  );
  router.set('a/x', tableOf(one, two));
  const turns: unknown[] = [];
  for (let i = 0; i < 6; i += 1) turns.push((await ask(router.port, '/')).headers['x-backend']);
  expect(turns.filter((by) => by === 'one')).toHaveLength(3);

  router.set('a/x', tableOf(slow));
  const hanging = request({ host: '127.0.0.1', port: router.port, headers: { host: 'app.test' } }).end();
  await once(hanging, 'response');
  router.set('a/x', tableOf(slow, one));
  for (let i = 0; i < 4; i += 1) expect((await ask(router.port, '/')).headers['x-backend']).toBe('one');
  hanging.on('error', () => {}).destroy();
});

test('passes requests and replies on: methods, statuses, repeated headers, bodies both ways', async () => {
  const router = await startRouter();
  const seen: IncomingMessage[] = [];
  const backend = await startBackend((incoming, response) => {
    seen.push(incoming);
    response.writeHead(201, 'Made Here', [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['X-Umlaut', Buffer.from('ü').toString('latin1')],
    ]);
    incoming.pipe(response);
  });
  router.set('a/x', tableOf(backend));
  const big = Buffer.alloc(5 * 1024 * 1024, 'x');
  const answer = await ask(router.port, '/up?x=1', { method: 'POST', body: big, headers: { 'X-Mixed-Case': 'Kept' } });
  expect(answer.status).toBe(201);
  expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(Buffer.from(String(answer.headers['x-umlaut']), 'latin1').toString()).toBe('ü');
  expect(answer.body).toHaveLength(big.length);
  expect(seen[0]?.rawHeaders).toContain('X-Mixed-Case');
  expect(seen[0]?.headers['content-length']).toBe(String(big.length));
  const chunked = await ask(router.port, '/', {
    method: 'PUT',
    body: 'hello',
    headers: { 'transfer-encoding': 'chunked' },
  });
  expect(chunked.body).toBe('hello');
  expect(seen[1]?.headers['transfer-encoding']).toBe('chunked');
});

test('HEAD, 204 and 304 have no body and leave the connection usable', async () => {
  const router = await startRouter();
  const backend = await startBackend((incoming, response) => {
    if (incoming.method === 'HEAD') response.writeHead(200, { 'content-length': 1234 }).end();
    else response.writeHead(Number(incoming.url?.slice(1))).end();
  });
  router.set('a/x', tableOf(backend));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const head = await ask(router.port, '/', { method: 'HEAD', agent });
  expect(head.headers['content-length']).toBe('1234');
  expect((await ask(router.port, '/204', { agent })).status).toBe(204);
  expect((await ask(router.port, '/304', { agent })).status).toBe(304);
  expect(backend.connections.size).toBe(1);
  agent.destroy();
});

test('keeps connections alive on both sides, and answers pipelined requests in order', async () => {
  const router = await startRouter();
  const backend = await startNamed('web');
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send('GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n');
  client.send('GET /3 HTTP/1.1\r\nHost: app.test\r\n\r\n');
  const all = await client.until('web GET /3');
  expect(all.indexOf('/1')).toBeLessThan(all.indexOf('/2'));
  client.send('GET /4 HTTP/1.1\r\nHost: app.test\r\n\r\n');
  await client.until('web GET /4');
  expect(backend.connections.size).toBeLessThanOrEqual(3);
});

test('serves HTTP/1.0 clients', async () => {
  const router = await startRouter();
  const backend = await startBackend((_request, response) => {
    response.write('in ');
    response.end('chunks');
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n');
  expect(await client.untilEnd()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nin chunks$/);
});

test('a reply without a length ends when the backend closes', async () => {
  const router = await startRouter();
  const backend = await startRaw((socket) => {
    socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end'));
  });
  router.set('a/x', tableOf(backend));
  const answer = await ask(router.port, '/');
  expect(answer.body).toBe('until the end');
});

test('server-sent events arrive one by one; a client that leaves is told to the backend', async () => {
  const router = await startRouter();
  const streams: ServerResponse[] = [];
  let left = 0;
  const backend = await startBackend((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    response.on('close', () => (left += 1));
    streams.push(response);
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send('GET /events HTTP/1.1\r\nHost: app.test\r\n\r\n');
  await client.until('text/event-stream');
  for (let i = 0; i < 3; i += 1) {
    streams[0]?.write(`data: ${i}\n\n`);
    await client.until(`data: ${i}\n\n`);
  }
  expect(router.inFlight('a/x')).toBe(1);
  client.socket.destroy();
  await waitFor(() => left === 1, { what: 'the backend to hear that the client left' });
  expect(router.inFlight('a/x')).toBe(0);
});

test('a backend that breaks off cuts the client off, so that half a reply is not taken for a whole one', async () => {
  const router = await startRouter();
  const backend = await startBackend((_request, response) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' });
    response.write('half');
    setImmediate(() => response.destroy());
  });
  router.set('a/x', tableOf(backend));
  await expect(ask(router.port, '/')).rejects.toThrow(/aborted|hang up|ECONNRESET/);
  expect(router.inFlight('a/x')).toBe(0);
});

test('a client that is slow to read holds the backend back', async () => {
  const router = await startRouter();
  let written = 0;
  const backend = await startBackend((_request, response) => {
    const more = (): void => {
      for (let flows = true; flows && !response.destroyed; written += 64 * 1024) {
        flows = response.write(Buffer.alloc(64 * 1024));
      }
    };
    response.on('drain', more);
    more();
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.socket.pause();
  client.send('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n');
  await waitFor(() => written > 0, { what: 'the backend to answer' });
  await waitUntilStill(() => written, { what: 'the backend' });
  expect(written).toBeLessThan(64 * 1024 * 1024);
});

test('a backend that is slow to read holds the client back', async () => {
  const router = await startRouter();
  let begun: IncomingMessage | null = null;
  const backend = await startBackend((incoming) => void (begun = incoming.pause()));
  router.set('a/x', tableOf(backend));
  const upload = request({ host: '127.0.0.1', port: router.port, method: 'POST', headers: { host: 'app.test' } });
  upload.on('error', () => {});
  let sent = 0;
  const more = (): void => {
    while (sent < 256 * 1024 * 1024 && upload.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024;
  };
  upload.on('drain', more);
  more();
  await waitFor(() => begun !== null, { what: 'the upload to begin' });
  await waitUntilStill(() => sent, { what: 'the client' });
  expect(sent).toBeLessThan(64 * 1024 * 1024);
  upload.destroy();
});

test('an early reply to a half-sent upload is delivered, and the next request on the connection works', async () => {
  const router = await startRouter();
  const backend = await startBackend((incoming, response) => {
    if (incoming.method === 'GET') response.end('next');
    else response.writeHead(413, { connection: 'close' }).end('too large');
  });
  router.set('a/x', tableOf(backend));
  for (let round = 0; round < 20; round += 1) {
    const client = new RawClient(router.port);
    const size = 2 * 1024 * 1024;
    client.send(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${size}\r\n\r\n`);
    client.send('x'.repeat(size / 2));
    await client.until('too large');
    client.send('x'.repeat(size / 2));
    client.send('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n');
    await client.until('next');
    expect(client.received).toMatch(/^HTTP\/1\.1 413/);
    client.socket.destroy();
  }
});

test('100-continue goes end to end', async () => {
  const router = await startRouter();
  const backend = await startBackend((incoming, response) => void incoming.pipe(response));
  const order: string[] = [];
  backend.server.on('checkContinue', (incoming: IncomingMessage, response: ServerResponse) => {
    if (incoming.url === '/no') {
      response.writeHead(417).end();
      return;
    }
    order.push('asked');
    response.writeContinue();
    incoming.pipe(response);
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send('POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await client.until('HTTP/1.1 100 Continue\r\n\r\n');
  expect(order).toEqual(['asked']);
  client.send('hello');
  await client.until('\r\nhello\r\n');

  const refused = new RawClient(router.port);
  refused.send('POST /no HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  // Whether the body follows is not known: the connection can't be used again.
  expect(await refused.untilEnd()).toMatch(/^HTTP\/1\.1 417 [^]*Connection: close/i);
});

test('trailers pass both ways', async () => {
  const router = await startRouter();
  let got: unknown;
  const backend = await startBackend((incoming, response) => {
    incoming.resume().on('end', () => {
      got = incoming.trailers;
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('body');
      response.addTrailers({ 'x-sum': '42' });
      response.end();
    });
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send(
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Check: 7\r\nHost: other.test\r\n\r\n',
  );
  await client.until('x-sum: 42');
  expect(got).toEqual({ 'x-check': '7' });
});

test('stop lets a request in flight finish, refuses new ones, and cuts off what outlives the grace', async () => {
  const router = await startRouter({ graceSeconds: 5 });
  const waiting: ServerResponse[] = [];
  const backend = await startBackend((_request, response) => void waiting.push(response));
  router.set('a/x', tableOf(backend));
  const agent = new Agent({ keepAlive: true });
  const answer = ask(router.port, '/', { agent });
  const silent = new RawClient(router.port);
  await waitFor(() => waiting.length === 1, { what: 'the request to arrive' });
  const begun = Date.now();
  const stopped = router.stop();
  await expect(ask(router.port, '/')).rejects.toThrow('ECONNREFUSED');
  waiting[0]?.end('finished');
  expect((await answer).body).toBe('finished');
  await stopped;
  await router.stop();
  // Neither the connection that is kept alive nor the one that never asked made it wait for the whole grace.
  expect(Date.now() - begun).toBeLessThan(4_000);
  expect(silent.state).not.toBe('open');
  agent.destroy();

  const impatient = await startRouter({ graceSeconds: 0.05 });
  impatient.set('a/x', tableOf(backend));
  const lost = ask(impatient.port, '/').catch((error: unknown) => error);
  await waitFor(() => waiting.length === 2, { what: 'the request to arrive' });
  await impatient.stop();
  expect(await lost).toBeInstanceOf(Error);
  expect(impatient.inFlight('a/x')).toBe(0);
});

test('stop is fine before start', async () => {
  await new Router({ port: 0, events: { wake: () => Promise.resolve() } }).stop();
});

test('lastRequestAt and inFlight are kept per environment', async () => {
  const router = await startRouter();
  const backend = await startNamed('web');
  expect(router.lastRequestAt('a/x')).toBeNull();
  router.set('a/x', tableOf(backend));
  expect(router.lastRequestAt('a/x')).toBeNull();
  const before = Date.now();
  await ask(router.port, '/');
  expect(router.lastRequestAt('a/x')).toBeGreaterThanOrEqual(before);
  expect(router.inFlight('a/x')).toBe(0);
});
