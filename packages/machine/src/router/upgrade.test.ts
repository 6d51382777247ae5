import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { waitFor } from '@slipway/testing';
import {
  ask,
  emptyTable,
  RawClient,
  startBackend,
  startNamed,
  startRaw,
  startRouter,
  tableOf,
  type TestBackend,
} from './router-under-test.ts';

async function startEcho(): Promise<TestBackend> {
  const backend = await startBackend((_request, response) => void response.writeHead(403).end('plain refused'));
  const sockets = new WebSocketServer({ server: backend.server });
  sockets.on('connection', (socket, request) => {
    socket.send(`hello ${request.url} ${String(request.headers['x-forwarded-for'])}`);
    socket.on('message', (data: Buffer, binary) => socket.send(data, { binary }));
  });
  return backend;
}

function dial(port: number, path: string): { socket: WebSocket; messages: string[] } {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { host: 'app.test' } });
  const messages: string[] = [];
  socket.on('message', (data: Buffer) => messages.push(data.toString()));
  socket.on('error', () => {});
  onTestFinished(() => socket.terminate());
  return { socket, messages };
}

test('WebSockets pass both ways, and closing passes on with its code', async () => {
  const router = await startRouter();
  router.set('a/x', tableOf(await startEcho()));
  const { socket, messages } = dial(router.port, '/chat?room=1');
  await waitFor(() => messages.length === 1, { what: 'the greeting' });
  expect(messages[0]).toBe('hello /chat?room=1 127.0.0.1');
  const big = 'x'.repeat(3 * 1024 * 1024);
  const before = router.lastRequestAt('a/x') ?? 0;
  socket.send(big);
  await waitFor(() => messages.length === 2, { what: 'the echo' });
  expect(messages[1]).toBe(big);
  expect(router.lastRequestAt('a/x')).toBeGreaterThanOrEqual(before);
  expect(router.inFlight('a/x')).toBe(1);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.close(4001, 'done');
  expect(await closed).toBe(4001);
  await waitFor(() => router.inFlight('a/x') === 0, { what: 'the tunnel to be counted out' });
});

test('a WebSocket to a sleeping environment is held and wakes it', async () => {
  const backend = await startEcho();
  let wake = (): void => {};
  const router = await startRouter({ events: { wake: () => new Promise((resolve) => (wake = resolve)) } });
  router.set('a/x', emptyTable('wake'));
  const { messages } = dial(router.port, '/');
  await waitFor(() => router.inFlight('a/x') === 1, { what: 'the upgrade to be held' });
  router.set('a/x', tableOf(backend));
  wake();
  await waitFor(() => messages.length === 1, { what: 'the greeting' });
});

test('a refused upgrade is an ordinary answer: from the app, and from the router', async () => {
  const router = await startRouter();
  router.set('a/x', tableOf(await startNamed('web')));
  const handshake = (host: string) =>
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  const app = new RawClient(router.port);
  app.send(handshake('app.test'));
  expect(await app.untilEnd()).toMatch(/^HTTP\/1\.1 200 OK[^]*web GET \/ws$/);
  const unknown = new RawClient(router.port);
  unknown.send(handshake('nope.test'));
  expect(await unknown.untilEnd()).toMatch(/^HTTP\/1\.1 404 /);
  expect(router.inFlight('a/x')).toBe(0);
});

test('other protocols pass too, with what was said early on both sides', async () => {
  const router = await startRouter();
  const backend = await startRaw((socket) => {
    let got = '';
    socket.on('data', (chunk: Buffer) => {
      const first = got === '';
      got += chunk.toString('latin1');
      if (first)
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nwelcome ');
      if (got.endsWith('\n')) socket.write(got.slice(got.indexOf('\r\n\r\n') + 4));
    });
  });
  router.set('a/x', tableOf(backend));
  const client = new RawClient(router.port);
  client.send('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nearly ');
  await client.until('welcome ');
  client.send('late\n');
  expect(await client.until('late\n')).toMatch(/Upgrade: chat\r\n\r\nwelcome early late\n$/);
});

test('h2c and upgrades with a body are served as plain requests', async () => {
  const router = await startRouter();
  router.set('a/x', tableOf(await startNamed('web')));
  const h2c = await ask(router.port, '/h2c', {
    headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABk' },
  });
  expect(h2c.body).toBe('web GET /h2c');
  const body = await ask(router.port, '/body', {
    method: 'POST',
    body: 'abc',
    headers: { connection: 'Upgrade', upgrade: 'websocket' },
  });
  expect(body.body).toBe('web POST /body');
});

test('when one side breaks off, the other is told', async () => {
  const router = await startRouter();
  const backend = await startEcho();
  router.set('a/x', tableOf(backend));
  const one = dial(router.port, '/');
  await waitFor(() => one.messages.length === 1, { what: 'the greeting' });
  one.socket.terminate();
  await waitFor(() => backend.connections.size === 0, { what: 'the backend connection to close' });

  const two = dial(router.port, '/');
  await waitFor(() => two.messages.length === 1, { what: 'the greeting' });
  for (const connection of backend.connections) connection.destroy();
  await waitFor(() => two.socket.readyState === WebSocket.CLOSED, { what: 'the client connection to close' });
  await waitFor(() => router.inFlight('a/x') === 0, { what: 'both to be counted out' });
});

test('stop cuts off tunnels after its grace', async () => {
  const router = await startRouter({ graceSeconds: 0.05 });
  router.set('a/x', tableOf(await startEcho()));
  const { socket, messages } = dial(router.port, '/');
  await waitFor(() => messages.length === 1, { what: 'the greeting' });
  await router.stop();
  await waitFor(() => socket.readyState === WebSocket.CLOSED, { what: 'the client connection to close' });
  await waitFor(() => router.inFlight('a/x') === 0, { what: 'the tunnel to be counted out' });
});
