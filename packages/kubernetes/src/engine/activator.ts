import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PlannedRelease, PlannedService } from '@slipway/engine';
import { PROBE_HEADER } from '../render/route.ts';
import { servicePort } from '../render/service.ts';
import type { Environment } from './environment.ts';
import { forward, forwardUpgrade, type Backend } from './forward.ts';

export interface ActivatorOptions {
  /** Address to listen on. */
  host: string;
  port: number;
}

/** A request is held so long for an environment that wakes. */
const HOLD_MILLISECONDS = 60_000;

/** Why no backend was found. */
interface Refusal {
  status: 404 | 503;
  text: string;
}

/**
 * The proxy in front of environments that may sleep. All their requests pass it, so that it knows when nobody has asked for anything; a request for one
 * that sleeps wakes it and is held until it can be answered.
 *
 * It listens in the control plane's process: while that is away, requests of these environments fail, and no others. Environments that never
 * sleep are reached without it.
 */
export class Activator {
  readonly #environments: ReadonlyMap<string, Environment>;
  readonly #options: ActivatorOptions;
  readonly #server: Server;
  #turn = 0;

  constructor(environments: ReadonlyMap<string, Environment>, options: ActivatorOptions) {
    this.#environments = environments;
    this.#options = options;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on('upgrade', (request, socket, head: Buffer) => void this.#upgrade(request, socket, head));
    this.#server.on('clientError', (_, socket) => socket.destroy());
    // The gateway keeps connections open for long, and closing first would break a request on its way.
    this.#server.keepAliveTimeout = 120_000;
    this.#server.requestTimeout = 0;
  }

  async start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(this.#options.port, this.#options.host, resolve);
    await promise;
    this.#server.off('error', reject);
  }

  async stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers[PROBE_HEADER] !== undefined) {
      request.resume();
      response.writeHead(204).end();
      return;
    }
    const environment = this.#environmentOf(request);
    if (environment === null) return refuse(response, NO_ENVIRONMENT);
    environment.requestBegan();
    response.once('close', () => environment.requestEnded());
    const backend = await this.#backend(environment, request);
    if (response.destroyed) return;
    if ('status' in backend) refuse(response, backend);
    else forward(request, response, backend);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const environment = this.#environmentOf(request);
    if (environment === null) return void socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n');
    environment.requestBegan();
    socket.once('close', () => environment.requestEnded());
    const backend = await this.#backend(environment, request);
    if ('status' in backend) socket.end(`HTTP/1.1 ${backend.status} Unavailable\r\nconnection: close\r\n\r\n`);
    else forwardUpgrade(request, socket, head, backend);
  }

  #environmentOf(request: IncomingMessage): Environment | null {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
    const found = [...this.#environments.values()].find(({ record }) =>
      record.plan.hosts.some((one) => one.toLowerCase() === host),
    );
    return found ?? null;
  }

  /** Waits for an instance that can answer. */
  async #backend(environment: Environment, request: IncomingMessage): Promise<Backend | Refusal> {
    const path = new URL(request.url ?? '/', 'http://environment').pathname;
    const until = Date.now() + HOLD_MILLISECONDS;
    const gone = new Promise<'gone'>((resolve) => request.socket.once('close', () => resolve('gone')));
    for (;;) {
      const found = this.#choose(environment, path);
      if (found !== null) return found;
      const failure = environment.failure();
      const waits = failure === null && Date.now() < until;
      if (!waits) return unavailable(environment, failure ?? 'it did not become ready in time');
      const { promise, resolve } = Promise.withResolvers<'changed'>();
      const stop = environment.onChange(() => resolve('changed'));
      const timer = setTimeout(() => resolve('changed'), until - Date.now());
      const what = await Promise.race([promise, gone]);
      stop();
      clearTimeout(timer);
      if (what === 'gone') return unavailable(environment, 'the caller went away');
    }
  }

  /** null: nothing is ready. */
  #choose(environment: Environment, path: string): Backend | Refusal | null {
    const { decision } = environment;
    if (environment.status().traffic.length === 0) return null;
    const shares = decision.traffic.flatMap(({ release, weight }) => {
      const found = decision.releases.find(({ number }) => number === release);
      return found === undefined ? [] : [{ release: found, weight }];
    });
    const release = pick(shares);
    if (release === null) return null;
    const service = serviceAt(release, path);
    if (service === null)
      return { status: 404, text: 'No service of this environment has a route that matches this path.' };
    const pods = environment.readyPods(release.number, service.name).filter(({ address }) => address !== null);
    const pod = pods[(this.#turn = (this.#turn + 1) % 1_000_000) % Math.max(1, pods.length)];
    return pod === undefined ? null : { host: pod.address ?? '', port: servicePort(service) };
  }
}

const NO_ENVIRONMENT: Refusal = { status: 404, text: 'There is no environment at this host name.' };

function unavailable({ name }: Environment, why: string): Refusal {
  return { status: 503, text: `${name} can't answer: ${why}. "slipway why ${name}" tells more.` };
}

function refuse(response: ServerResponse, { status, text }: Refusal): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`${text}\n`);
}

/** By chance, in proportion to the weights. */
function pick(shares: readonly { release: PlannedRelease; weight: number }[]): PlannedRelease | null {
  const sum = shares.reduce((total, { weight }) => total + weight, 0);
  let at = Math.random() * sum;
  for (const { release, weight } of shares) {
    at -= weight;
    if (at < 0) return release;
  }
  return shares.at(-1)?.release ?? null;
}

/** The longest route that the path begins with, by whole segments. */
function serviceAt(release: PlannedRelease, path: string): PlannedService | null {
  const matching = release.services.filter(({ route }) => {
    if (route === null) return false;
    const prefix = route.replace(/\/$/, '');
    return path === prefix || path.startsWith(`${prefix}/`);
  });
  return matching.sort((a, b) => (b.route?.length ?? 0) - (a.route?.length ?? 0))[0] ?? null;
}
