import { Agent } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { waitFor } from '@slipway/testing';
import { ask, startBackend, startNamed, startRouter, tableOf, type TestBackend } from './router-under-test.ts';

const never = new AbortController().signal;

/** What an app does: quick answers, slow ones, WebSockets. */
async function startApp(): Promise<TestBackend> {
  const backend = await startBackend((incoming, response) => {
    incoming.resume();
    if (incoming.url === '/slow') setTimeout(() => response.end('slow'), 150);
    else incoming.on('end', () => response.end('quick'));
  });
  new WebSocketServer({ server: backend.server }).on('connection', (socket) =>
    socket.on('message', (data: Buffer) => socket.send(data.toString())),
  );
  return backend;
}

test(
  '100 switches under keep-alive load with WebSockets and slow requests: nothing fails',
  { timeout: 60_000 },
  async () => {
    const router = await startRouter();
    let current = await startApp();
    router.set('a/x', tableOf(current));
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    onTestFinished(() => agent.destroy());
    const failures: unknown[] = [];
    let requests = 0;
    const over = new AbortController();

    const load = async (path: string, method: string): Promise<void> => {
      while (!over.signal.aborted) {
        const body = method === 'POST' ? 'x'.repeat(2_000) : '';
        const answer = await ask(router.port, path, { agent, method, body }).catch(
          (error: unknown) => new Error('the request failed', { cause: error }),
        );
        requests += 1;
        if (answer instanceof Error || answer.status !== 200) failures.push(answer);
      }
    };
    const talk = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const socket = new WebSocket(`ws://127.0.0.1:${router.port}/`, { headers: { host: 'app.test' } });
        try {
          await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
          for (let i = 0; i < 5; i += 1) {
            const echo = new Promise((resolve, reject) => socket.once('message', resolve).once('close', reject));
            socket.send(`${i}`);
            await echo;
            requests += 1;
          }
        } catch (error) {
          failures.push(error);
        }
        socket.removeAllListeners();
        socket.close();
      }
    };
    const clients = [
      load('/', 'GET'),
      load('/', 'GET'),
      load('/', 'POST'),
      load('/slow', 'GET'),
      load('/slow', 'POST'),
      talk(),
      talk(),
    ];

    const drains: Promise<void>[] = [];
    for (let i = 0; i < 100; i += 1) {
      const next = await startApp();
      const old = current;
      router.set('a/x', tableOf(old, next));
      router.set('a/x', tableOf(next));
      current = next;
      // What the supervisor does with an old instance: wait until nothing is in flight to it, then end it.
      drains.push(router.drained(old.id, never).then(() => old.stop()));
      // Every table serves some requests before the next one.
      const served = requests;
      await waitFor(() => requests >= served + 8, { what: 'the load to go on' });
    }
    over.abort();
    await Promise.all(clients);
    await Promise.all(drains);
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(500);
  },
);

test('a request in flight stays with its backend; drained tells when it is done', async () => {
  const router = await startRouter();
  const finish: (() => void)[] = [];
  const old = await startBackend((_request, response) => void finish.push(() => response.end('old')));
  const fresh = await startNamed('new');
  router.set('a/x', tableOf(old));
  const answer = ask(router.port, '/');
  await waitFor(() => finish.length === 1, { what: 'the request to arrive' });
  router.set('a/x', tableOf(fresh));
  expect((await ask(router.port, '/')).body).toBe('new GET /');
  let drained = 'no';
  const draining = router.drained(old.id, never).then(() => (drained = 'yes'));
  const impatient = new AbortController();
  const given = router.drained(old.id, impatient.signal);
  impatient.abort();
  await given;
  expect(drained).toBe('no');
  finish[0]?.();
  expect((await answer).body).toBe('old');
  await draining;
  await router.drained('nobody', never);
});

test('idle connections to a backend that left the table are closed, those to one that stays are kept', async () => {
  const router = await startRouter();
  const [one, two] = [await startNamed('one'), await startNamed('two')];
  router.set('a/x', tableOf(one, two));
  await ask(router.port, '/');
  await ask(router.port, '/');
  expect([one.connections.size, two.connections.size]).toEqual([1, 1]);
  router.set('a/x', tableOf(two));
  await waitFor(() => one.connections.size === 0, { what: 'the connection to the old backend to close' });
  await ask(router.port, '/');
  expect(two.connections.size).toBe(1);
});

test('a client connection survives the switch', async () => {
  const router = await startRouter();
  const [one, two] = [await startNamed('one'), await startNamed('two')];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const ports = new Set<number | undefined>();
  agent.on('free', (socket: { localPort?: number }) => ports.add(socket.localPort));
  for (const backend of [one, two, one]) {
    router.set('a/x', tableOf(backend));
    await ask(router.port, '/', { agent });
  }
  await waitFor(() => ports.size > 0, { what: 'the connection to be free' });
  expect(ports.size).toBe(1);
});

test('a backend that is killed under load costs no repeatable request', async () => {
  const router = await startRouter();
  const [one, two] = [await startNamed('one'), await startNamed('two')];
  router.set('a/x', tableOf(one, two));
  for (let i = 0; i < 10; i += 1) await ask(router.port, '/');
  await one.stop();
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(router.port, '/')));
  expect(answers.map((answer) => answer.status).filter((status) => status !== 200)).toEqual([]);
});

test('requests that last 20 s and longer are no problem: nothing times them out', async () => {
  const router = await startRouter({ headersSeconds: 0.2 });
  const backend = await startBackend((_request, response) => void setTimeout(() => response.end('at last'), 1_500));
  router.set('a/x', tableOf(backend));
  expect((await ask(router.port, '/')).body).toBe('at last');
});
