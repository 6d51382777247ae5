import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import type { ApiApp, ApiEnvironment, ApiEvent, ApiProblem, ApiRelease, ApiWhy, Role } from '../src/api/client.ts';

/** What a strict server sends with the page. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/**
 * A real HTTP server that serves the built page and answers the API from objects of the API's own types, so that a
 * test decides what the page is told and when. It listens on a port of its own; `stop` and `start` are a restart.
 */
export class ScriptedControlPlane {
  readonly tokens = new Map<string, { name: string; role: Role }>();
  apps: Pick<ApiApp, 'app' | 'cloneUrl'>[] = [];
  events: ApiEvent[] = [];
  releases: ApiRelease[] = [];
  why: ApiWhy = { subject: '', summary: '', timeline: [] };
  /** The next action is answered with this instead of being done. */
  refusal: ApiProblem | null = null;
  /** Every action that was asked for: `POST /api/... {"body":1}`. */
  readonly actions: string[] = [];
  readonly environments = new Map<string, ApiEnvironment>();
  readonly #folder: string;
  readonly #streams = new Set<ServerResponse>();
  #server = createServer();
  #port = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server's address is no pipe name
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  put(...environments: ApiEnvironment[]): void {
    for (const environment of environments) {
      this.environments.set(`${environment.app}/${environment.environment}`, environment);
      this.#tell('environment', environment);
    }
  }

  remove(app: string, environment: string): void {
    this.environments.delete(`${app}/${environment}`);
    this.#tell('removed', { app, environment });
  }

  happen(event: ApiEvent): void {
    this.events.push(event);
    this.#tell('event', event);
  }

  #tell(name: string, data: unknown): void {
    for (const stream of this.#streams) stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    if (!url.pathname.startsWith('/api/')) return this.#file(url.pathname, response);

    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const json = (status: number, answer: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    const denied = (title: string, hint: string) => json(401, { title, status: 401, kind: 'denied', hint });

    if (url.pathname === '/api/session') {
      const { token = '' }: { token?: string } = body ? JSON.parse(body) : {};
      if (request.method === 'POST' && !this.tokens.has(token)) {
        return void denied('This token is not known.', 'Make one with `slipway token create`.');
      }
      const cookie = `slipway_session=${token}; HttpOnly; SameSite=Strict; Path=/`;
      return void response.writeHead(204, { 'set-cookie': token ? cookie : `${cookie}; Max-Age=0` }).end();
    }
    const me = this.tokens.get(/slipway_session=([^;]+)/.exec(request.headers.cookie ?? '')?.[1] ?? '');
    if (!me) return void denied('There is no session.', 'Log in with a token.');
    if (request.method === 'POST') {
      this.actions.push(`POST ${url.pathname} ${body}`.trim());
      const { refusal } = this;
      return void (refusal ? json(refusal.status, refusal) : json(202, {}));
    }
    const app = url.searchParams.get('app');
    const environment = url.searchParams.get('environment');
    if (url.pathname === '/api/me') return void json(200, me);
    if (url.pathname === '/api/apps') return void json(200, { apps: this.apps });
    if (url.pathname === '/api/why') return void json(200, this.why);
    if (url.pathname.endsWith('/releases')) {
      return void json(200, { releases: this.releases.filter((release) => release.environment === environment) });
    }
    if (url.pathname === '/api/events') {
      const events = this.events.filter((event) => event.app === app && event.environment === environment);
      return void json(200, { events: events.slice(-100) });
    }
    if (url.pathname === '/api/stream') return this.#stream(response);
    json(404, { title: `There is no ${url.pathname}.`, status: 404, kind: 'not-found', hint: null });
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    for (const environment of this.environments.values()) {
      response.write(`event: environment\ndata: ${JSON.stringify(environment)}\n\n`);
    }
    response.write('event: synced\ndata: {}\n\n');
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const file = join(this.#folder, normalize(path === '/' ? '/index.html' : path));
    try {
      const content = await readFile(file);
      response.writeHead(200, {
        'content-type': contentTypes[extname(file)] ?? 'application/octet-stream',
        'content-security-policy': policy,
        'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  }
}
