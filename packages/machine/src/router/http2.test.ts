import { connect, type ClientHttp2Session, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { waitFor } from '@slipway/testing';
import { ask, RawClient, startBackend, startNamed, startRouter, tableOf } from './router-under-test.ts';

function open(port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

interface Reply {
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  body: string;
}

function ask2(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':authority': 'app.test', ...headers }, { endStream: body === undefined });
    const reply: Reply = { headers: {}, trailers: {}, body: '' };
    stream.setEncoding('utf8');
    stream.on('response', (got) => (reply.headers = got));
    stream.on('trailers', (got) => (reply.trailers = got));
    stream.on('data', (text: string) => (reply.body += text));
    stream.on('error', reject);
    stream.on('close', () => resolve(reply));
    if (body !== undefined) stream.end(body);
  });
}

test('HTTP/2 with prior knowledge and HTTP/1.1 share the port; many requests share a connection', async () => {
  const router = await startRouter();
  router.set('a/x', tableOf(await startNamed('web')));
  const session = open(router.port);
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => ask2(session, { ':path': `/${i}` })));
  expect(replies.map((reply) => reply.body)).toEqual(Array.from({ length: 50 }, (_, i) => `web GET /${i}`));
  expect((await ask(router.port, '/one')).body).toBe('web GET /one');
});

test('bodies, cookies, repeated headers and trailers are translated', async () => {
  const router = await startRouter();
  let cookie: string | undefined;
  let encoding: string | undefined;
  const backend = await startBackend((incoming, response) => {
    cookie = incoming.headers.cookie;
    encoding = incoming.headers['transfer-encoding'];
    response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], trailer: 'grpc-status', connection: 'close' });
    incoming.on('data', (chunk: Buffer) => response.write(chunk));
    incoming.on('end', () => {
      response.addTrailers({ 'grpc-status': '0' });
      response.end();
    });
  });
  router.set('a/x', tableOf(backend));
  const reply = await ask2(
    open(router.port),
    { ':path': '/', ':method': 'POST', cookie: ['x=1', 'y=2'], te: 'trailers' },
    'hello',
  );
  expect(reply.body).toBe('hello');
  expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(reply.trailers['grpc-status']).toBe('0');
  expect(cookie).toBe('x=1; y=2');
  expect(encoding).toBe('chunked');
});

test('unknown hosts and HEAD are answered on HTTP/2 too', async () => {
  const router = await startRouter();
  const backend = await startBackend(
    (_request, response) => void response.writeHead(200, { 'content-length': 9 }).end(),
  );
  router.set('a/x', tableOf(backend));
  const session = open(router.port);
  expect((await ask2(session, { ':path': '/', ':authority': 'nope.test' })).headers[':status']).toBe(404);
  const head = await ask2(session, { ':path': '/', ':method': 'HEAD' });
  expect(head.headers['content-length']).toBe('9');
});

test('one stream that is cancelled or breaks off leaves the others alone', async () => {
  const router = await startRouter();
  let left = 0;
  const backend = await startBackend((incoming, response) => {
    if (incoming.url === '/') {
      response.end('fine');
      return;
    }
    response.on('close', () => (left += 1));
    response.write('begun');
    if (incoming.url === '/break') setImmediate(() => response.destroy());
  });
  router.set('a/x', tableOf(backend));
  const session = open(router.port);
  const stream = session.request({ ':path': '/hang', ':authority': 'app.test' });
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('data', resolve));
  stream.close(8);
  await waitFor(() => left === 1, { what: 'the backend to hear of it' });
  await expect(ask2(session, { ':path': '/break' })).rejects.toThrow('NGHTTP2_INTERNAL_ERROR');
  expect((await ask2(session, { ':path': '/' })).body).toBe('fine');
  await waitFor(() => router.inFlight('a/x') === 0, { what: 'everything to be counted out' });
});

test('a WebSocket over one HTTP/2 stream (RFC 8441)', async () => {
  const router = await startRouter();
  const backend = await startBackend((_request, response) => void response.writeHead(403).end('no'));
  const sockets = new WebSocketServer({ server: backend.server, path: '/ws' });
  sockets.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.send(data)));
  router.set('a/x', tableOf(backend));
  const session = open(router.port);
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/ws',
      ':authority': 'app.test',
      'sec-websocket-version': '13',
    },
    { endStream: false },
  );
  const status = await new Promise((resolve) => stream.once('response', (headers) => resolve(headers[':status'])));
  expect(status).toBe(200);
  // A masked binary frame "hi" with mask 0; the answer is not masked.
  stream.write(Buffer.from([0x82, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  const echo = await new Promise<Buffer>((resolve) => stream.once('data', resolve));
  expect(echo).toEqual(Buffer.from([0x82, 0x02, 0x68, 0x69]));
  expect(router.inFlight('a/x')).toBe(1);
  stream.close();
  await waitFor(() => router.inFlight('a/x') === 0, { what: 'the tunnel to close' });
});

test('the preface may come in pieces', async () => {
  const router = await startRouter();
  router.set('a/x', tableOf(await startNamed('web')));
  const client = new RawClient(router.port);
  client.socket.setNoDelay(true);
  client.send('PRI * HT');
  await ask(router.port, '/');
  client.send('TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
  await client.until('\x04');
});
