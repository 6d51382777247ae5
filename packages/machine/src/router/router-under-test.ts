import { once } from 'node:events';
import { connect, createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type RequestListener,
  type RequestOptions,
  type Server,
} from 'node:http';
import { onTestFinished } from 'vitest';
import { waitFor } from '@slipway/testing';
import { Router, type RouterOptions } from './router.ts';
import type { Backend, RoutedService, RouteTable } from './routes.ts';

/** A router on a free port that ends with the test. */
export async function startRouter(options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = new Router({
    port: 0,
    graceSeconds: 0.2,
    events: { wake: () => Promise.reject(new Error('nobody expects to be woken')) },
    ...options,
  });
  onTestFinished(() => router.stop());
  await router.start();
  return router;
}

export interface TestBackend extends Backend {
  server: Server;
  /** Connections open now. */
  connections: Set<Socket>;
  stop(): Promise<void>;
}

/** A real HTTP server; its id is unique. */
export async function startBackend(listener: RequestListener): Promise<TestBackend> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener);
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  const port = await listen(server);
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    for (const socket of connections) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  return { id: `backend-${port}-${Math.random().toString(36).slice(2)}`, port, server, connections, stop };
}

/** A backend that answers with its name, path and what it got. */
export function startNamed(name: string): Promise<TestBackend> {
  return startBackend((incoming, response) => {
    incoming.resume();
    response.setHeader('x-backend', name);
    response.end(`${name} ${incoming.method} ${incoming.url}`);
  });
}

/** A server that gives each connection to `onConnection`: for backends that misbehave. */
export async function startRaw(onConnection: (socket: Socket) => void): Promise<Backend & { server: NetServer }> {
  const open = new Set<Socket>();
  const server = createNetServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    onConnection(socket);
  });
  const port = await listen(server);
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { id: `raw-${port}`, port, server };
}

async function listen(server: NetServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

export function service(route: string | null, ...backends: Backend[]): RoutedService {
  return { name: 'web', route, backends: backends.map(({ id, port }) => ({ id, port })) };
}

/** A table for the host `app.test` with one release that serves `/`. */
export function tableOf(...backends: Backend[]): RouteTable {
  return { ...emptyTable(), releases: [{ number: 1, weight: 100, services: [service('/', ...backends)] }] };
}

export function emptyTable(answer: RouteTable['answer'] = 'forward'): RouteTable {
  return { hosts: ['app.test'], answer, releases: [], explanation: null };
}

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  trailers: IncomingMessage['trailers'];
  body: string;
}

/** One request to `app.test`, on a connection of its own unless an agent is given. */
export function ask(
  port: number,
  path: string,
  options: Omit<RequestOptions, 'headers'> & { headers?: OutgoingHttpHeaders; body?: string | Buffer } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body, headers, ...rest } = options;
    const outgoing = request(
      { host: '127.0.0.1', port, path, agent: false, headers: { host: 'app.test', ...headers }, ...rest },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (text += chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            rawHeaders: incoming.rawHeaders,
            trailers: incoming.trailers,
            body: text,
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** A socket that remembers what came. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  state: 'open' | 'ended' | 'closed' = 'open';

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => (this.received += chunk.toString('latin1')));
    this.socket.on('error', () => {});
    this.socket.on('end', () => (this.state = 'ended'));
    this.socket.on('close', () => (this.state = 'closed'));
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  async until(text: string): Promise<string> {
    await waitFor(() => this.received.includes(text), { what: JSON.stringify(text) }).catch((error: unknown) => {
      throw new Error(`only this came: ${JSON.stringify(this.received.slice(0, 2000))}`, { cause: error });
    });
    return this.received;
  }

  async untilEnd(seconds = 10): Promise<string> {
    await waitFor(() => this.state !== 'open', { what: 'the router to close the connection', seconds });
    return this.received;
  }
}
