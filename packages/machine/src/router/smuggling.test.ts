import { connect as connectHttp2 } from 'node:http2';
import { expect, onTestFinished, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import { ask, type Answer, RawClient, startBackend, startRaw, startRouter, tableOf } from './router-under-test.ts';

/**
 * Request smuggling (RFC 9112, 11.2): a client must not be able to make the router and a backend disagree on where a request ends, nor
 * to speak in the router's name.
 */

/** A router before a backend that remembers the raw bytes it got. */
async function setup(): Promise<{ port: number; got: () => string }> {
  const router = await startRouter();
  let got = '';
  const backend = await startRaw((socket) =>
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
      if (got.endsWith('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }),
  );
  router.set('a/x', tableOf(backend));
  return { port: router.port, got: () => got };
}

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n';

test.each<[string, string]>([
  [
    'length and encoding',
    `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    'encoding and length',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ['two lengths', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n${SMUGGLED}`],
  ['two equal lengths', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx`],
  ['a list of lengths', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0, 44\r\n\r\n${SMUGGLED}`],
  ['a signed length', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: +4\r\n\r\nabcd`],
  ['a hexadecimal length', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0x4\r\n\r\nabcd`],
  ['a huge length', `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 99999999999999999999\r\n\r\nabcd`],
  [
    'an unknown encoding',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    'an encoding before chunked',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'an encoding after chunked',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    'two encodings',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'an encoding with a vertical tab',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    'an encoding in HTTP/1.0',
    `POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    'a space before the colon',
    `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ['a folded line', `POST / HTTP/1.1\r\nHost: app.test\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n`],
  ['a bare line feed', `GET / HTTP/1.1\nHost: app.test\n\n`],
  ['a bare carriage return', `GET / HTTP/1.1\r\nHost: app.test\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n`],
  ['a zero byte', `GET / HTTP/1.1\r\nHost: app.test\r\nX: a\0b\r\n\r\n`],
  ['a chunk size with a sign', `POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n`],
  ['two hosts', `GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n`],
  ['no host', `GET / HTTP/1.1\r\n\r\n`],
  ['a host that is none', `GET / HTTP/1.1\r\nHost: app.test/x?\r\n\r\n`],
  ['an address that differs from the host', `GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n`],
  ['another scheme', `GET ftp://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n`],
])('refuses %s', async (_what, text) => {
  const { port, got } = await setup();
  const client = new RawClient(port);
  client.send(text);
  const answer = await client.untilEnd();
  expect(answer).toMatch(/^HTTP\/1\.1 (?:400|501) /);
  expect(answer.split('HTTP/1.1 ')).toHaveLength(2);
  expect(got()).not.toContain('smuggled');
});

test('refuses CONNECT, too many and too large headers', async () => {
  const { port } = await setup();
  for (const [text, status] of [
    ['CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n', '405'],
    [`GET / HTTP/1.1\r\nHost: app.test\r\n${'A: b\r\n'.repeat(201)}\r\n`, '431'],
    [`GET / HTTP/1.1\r\nHost: app.test\r\nA: ${'b'.repeat(40_000)}\r\n\r\n`, '431'],
  ]) {
    const client = new RawClient(port);
    client.send(text ?? '');
    expect(await client.untilEnd()).toContain(`HTTP/1.1 ${status}`);
  }
});

test('frames bodies anew: chunk extensions and odd sizes do not get through', async () => {
  const router = await startRouter();
  let got = '';
  const backend = await startRaw((socket) =>
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
      if (got.includes('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }),
  );
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send(
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: Chunked\r\n\r\n0000003;evil="x"\r\nabc\r\n0\r\n\r\n',
  );
  await client.until('ok');
  expect(got).toMatch(/Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/);
});

test('hop-by-hop headers end at the router, in both directions', async () => {
  const router = await startRouter();
  let seen: string[] = [];
  const backend = await startBackend((incoming, response) => {
    seen = incoming.rawHeaders.map((text) => text.toLowerCase());
    response.writeHead(200, {
      connection: 'X-Named',
      'x-named': '1',
      'keep-alive': 'timeout=9',
      'proxy-connection': 'x',
      'x-kept': '1',
    });
    response.end();
  });
  router.set('a/x', tableOf(backend));
  const answer = await ask(router.port, '/', {
    headers: {
      connection: 'close, X-Drop, Host, X-Forwarded-For, Content-Length',
      'x-drop': '1',
      'keep-alive': '5',
      te: 'gzip',
      'proxy-authorization': 'secret',
      'proxy-connection': 'keep-alive',
      upgrade: 'h2c',
      'http2-settings': 'AAA',
      'x-kept': '1',
    },
    method: 'POST',
    body: 'abc',
  });
  for (const gone of [
    'x-drop',
    'keep-alive',
    'te',
    'proxy-authorization',
    'proxy-connection',
    'upgrade',
    'http2-settings',
    'connection',
  ]) {
    expect(seen).not.toContain(gone);
  }
  expect(seen).toEqual(expect.arrayContaining(['x-kept', 'host', 'x-forwarded-for', 'content-length']));
  expect(answer.headers['x-kept']).toBe('1');
  for (const gone of ['x-named', 'proxy-connection']) expect(answer.headers[gone]).toBeUndefined();
});

async function echoed(
  options: Parameters<typeof startRouter>[0],
  headers: Record<string, string>,
): Promise<Record<string, string>> {
  const router = await startRouter(options);
  const backend = await startBackend((incoming, response) => void response.end(JSON.stringify(incoming.headers)));
  router.set('a/x', tableOf(backend));
  const answer: Answer = await ask(router.port, '/', { headers });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this test's own JSON
  return JSON.parse(answer.body) as Record<string, string>;
}

const CLAIMS = {
  host: 'App.Test:8080',
  'x-forwarded-for': '6.6.6.6',
  'x-forwarded-host': 'evil.test',
  'x-forwarded-proto': 'https',
  forwarded: 'for=6.6.6.6',
  'x-real-ip': '6.6.6.6',
  X_Forwarded_For: '6.6.6.6',
};

test('says who asked, and does not believe what the client says about that', async () => {
  const got = await echoed({}, CLAIMS);
  expect(got).toMatchObject({
    host: 'App.Test:8080',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': 'App.Test:8080',
    'x-forwarded-proto': 'http',
    forwarded: 'for=127.0.0.1;host="App.Test:8080";proto=http',
  });
  expect(JSON.stringify(got)).not.toContain('6.6.6.6');
});

test('believes a trusted proxy, and adds what it saw itself', async () => {
  const got = await echoed({ trustedProxies: ['127.0.0.1'] }, CLAIMS);
  expect(got).toMatchObject({
    'x-forwarded-for': '6.6.6.6, 127.0.0.1',
    'x-forwarded-host': 'evil.test',
    'x-forwarded-proto': 'https',
    forwarded: 'for=6.6.6.6, for=127.0.0.1',
  });
});

test('accepts an address as target, and passes on its path', async () => {
  const { port, got } = await setup();
  const client = new RawClient(port);
  client.send('GET http://app.test/path?x=1 HTTP/1.1\r\nHost: app.test\r\n\r\n');
  await client.until('ok');
  expect(got()).toMatch(/^GET \/path\?x=1 HTTP\/1\.1\r\nHost: app\.test\r\n/);
});

test('HTTP/2: what would be a second line or a second request in HTTP/1.1 is refused', async () => {
  const { port, got } = await setup();
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  onTestFinished(() => session.destroy());
  session.on('error', () => {});
  for (const headers of [
    { ':path': '/ HTTP/1.1\r\nHost: app.test\r\n\r\nGET /smuggled', ':authority': 'app.test' },
    { ':path': '/a b', ':authority': 'app.test' },
    { ':path': '/', ':authority': 'app.test', host: 'other.test' },
    { ':path': '/', ':authority': 'app.test\r\nX: smuggled' },
    { ':path': '/', ':authority': 'app.test', ':method': 'GET /smuggled HTTP/1.1' },
  ]) {
    const outcome = await new Promise<string>((resolve) => {
      const stream = session.request(headers);
      stream.on('response', (reply) => resolve(String(reply[':status'])));
      stream.on('error', () => resolve('refused'));
      stream.on('close', () => resolve('closed'));
      stream.resume();
    });
    expect(['400', 'refused', 'closed']).toContain(outcome);
  }
  expect(got()).toBe('');
});

test.each<[string, string]>([
  ['length and encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n'],
  ['an unknown encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ['a switch nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
])('a reply with %s is a 502, and its connection is not used again', async (_what, text) => {
  const router = await startRouter();
  let connections = 0;
  const backend = await startRaw((socket) => {
    connections += 1;
    socket.on('data', () => socket.write(text));
  });
  router.set('a/x', tableOf(backend));
  expect((await ask(router.port, '/')).status).toBe(502);
  expect((await ask(router.port, '/')).status).toBe(502);
  expect(connections).toBe(2);
});

test('bytes after a reply are not given to the next client', async () => {
  const router = await startRouter();
  const backend = await startRaw((socket) =>
    socket.on('data', () =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'),
    ),
  );
  router.set('a/x', tableOf(backend));
  for (let i = 0; i < 3; i += 1) expect((await ask(router.port, '/')).body).toBe('ok');
});

test('a connection that does not finish its headers is closed; a slow body is not', async () => {
  const router = await startRouter({ headersSeconds: 0.5 });
  const backend = await startBackend((incoming, response) => void incoming.pipe(response));
  router.set('a/x', tableOf(backend));
  const silent = new RawClient(router.port);
  const slow = new RawClient(router.port);
  slow.send('GET / HTTP/1.1\r\nHost: app.test\r\nX-');
  const body = new RawClient(router.port);
  body.send('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nhello');
  await silent.untilEnd();
  await slow.untilEnd();
  const idleAt = Date.now();
  await waitFor(() => Date.now() - idleAt > 600, { what: 'longer than headers may take' });
  body.send('world');
  await body.until('\r\nworld\r\n0\r\n');
});
