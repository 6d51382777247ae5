import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import { sendAnswer } from './answers.ts';
import { BackendPool, IdleSweeper } from './backend-pool.ts';
import { Environment } from './environment.ts';
import { Exchange, type ExchangeOptions } from './exchange.ts';
import { type Entry, Front } from './front.ts';
import { isHttp2, type Manner } from './manner.ts';
import { readRequestHead } from './request-head.ts';
import type { Routes, RouterEvents, RouteTable } from './routes.ts';

export interface RouterOptions {
  /** Address to listen on. Default 127.0.0.1. */
  host?: string;
  /** 0: a free one. */
  port: number;
  events: RouterEvents;
  /** How long a request waits for a ready backend. Default 60. */
  holdSeconds?: number;
  /** How long a client may take to send the headers of a request. Default 20. */
  headersSeconds?: number;
  /** How long `stop()` waits for requests in flight. Default 10. */
  graceSeconds?: number;
  /** Addresses of proxies whose `Forwarded` and `X-Forwarded-*` are believed. Default none. */
  trustedProxies?: readonly string[];
  /** Things an operator should know. */
  log?: (message: string) => void;
}

/**
 * The HTTP router of the one-machine engine.
 *
 * A request's way: {@link Front} accepts it, `readRequestHead` decides what may go on, the host names its {@link Environment},
 * the environment chooses a backend, an {@link Exchange} carries it there and back. The supervisor's tables come in by `set` and take effect with
 * the next request; what has begun stays where it is.
 */
export class Router implements Routes {
  readonly #host: string;
  readonly #events: RouterEvents;
  readonly #graceSeconds: number;
  readonly #trusted: ReadonlySet<string>;
  readonly #log: (message: string) => void;
  readonly #front: Front;
  readonly #exchangeOptions: Omit<ExchangeOptions, 'finished'>;

  readonly #environments = new Map<string, Environment>();
  readonly #byHost = new Map<string, Environment>();
  /** Every backend in a table, and those that have left it but not finished. */
  readonly #pools = new Map<string, BackendPool>();
  readonly #sweeper = new IdleSweeper();
  readonly #exchanges = new Set<Exchange>();
  readonly #internal = new Map<string, Promise<Server>>();
  #server: Server | null = null;
  #port: number;

  constructor(options: RouterOptions) {
    this.#host = options.host ?? '127.0.0.1';
    this.#port = options.port;
    this.#events = options.events;
    this.#graceSeconds = options.graceSeconds ?? 10;
    this.#trusted = new Set(options.trustedProxies);
    this.#log = options.log ?? (() => {});
    this.#front = new Front(
      { request: (...request) => this.#serve(...request) },
      (options.headersSeconds ?? 20) * 1000,
    );
    this.#exchangeOptions = {
      holdSeconds: options.holdSeconds ?? 60,
      wake: (environment) => this.#wake(environment),
      now: Date.now,
    };
  }

  /** The public port; the wanted one before `start()`. */
  get port(): number {
    return this.#port;
  }

  /** Opens the public port. @throws What `listen` says, e.g. `EADDRINUSE`. */
  async start(): Promise<void> {
    if (this.#server !== null) return;
    this.#server = await this.#front.listen(this.#host, this.#port, null);
    this.#port = portOf(this.#server);
  }

  /** Accepts nothing more, lets requests in flight finish within the grace, then closes everything. Safe to call twice, or before `start`. */
  async stop(): Promise<void> {
    if (this.#front.stopping) return;
    this.#server?.close();
    for (const opening of this.#internal.values())
      void opening.then(
        (server) => server.close(),
        () => {},
      );
    this.#front.beginStop();
    for (const exchange of this.#exchanges) exchange.routerStops();
    await this.#front.finishStop(this.#graceSeconds * 1000);
    for (const exchange of this.#exchanges) exchange.cutOff();
    for (const pool of this.#pools.values()) pool.retire();
    this.#sweeper.stop();
  }

  // ---- what the supervisor says

  set(name: string, table: RouteTable): void {
    const environment = this.#environment(name);
    for (const host of environment.table?.hosts ?? [])
      if (this.#byHost.get(host) === environment) this.#byHost.delete(host);
    for (const declared of table.hosts) {
      const host = declared.toLowerCase();
      const other = this.#byHost.get(host);
      if (other !== undefined)
        this.#log(`${host} led to ${other.name} and leads to ${name} now: two environments claim it`);
      this.#byHost.set(host, environment);
    }
    const before = [...environment.pools.values()];
    environment.setTable(table, (id, port) => this.#pool(id, port));
    for (const pool of before) if (environment.pools.get(pool.id) !== pool) this.#retire(pool);
    environment.tellHeld((held) => held.tableChanged());
  }

  delete(name: string): void {
    const environment = this.#environments.get(name);
    if (environment === undefined) return;
    this.#environments.delete(name);
    for (const [host, owner] of this.#byHost) if (owner === environment) this.#byHost.delete(host);
    for (const pool of environment.pools.values()) this.#retire(pool);
    for (const [key, opening] of this.#internal) {
      if (!key.startsWith(`${name} `)) continue;
      this.#internal.delete(key);
      void opening.then(
        (server) => server.close(),
        () => {},
      );
    }
    environment.tellHeld((held) => held.giveUp('This environment has just been removed.'));
  }

  async internalPort(name: string, service: string, preferred: number | null): Promise<number> {
    this.#environment(name);
    const key = `${name} ${service}`;
    let opening = this.#internal.get(key);
    if (opening === undefined) {
      opening = this.#openInternal({ environment: name, service }, preferred ?? 0);
      this.#internal.set(key, opening);
      opening.catch(() => this.#internal.delete(key));
    }
    return portOf(await opening);
  }

  lastRequestAt(name: string): number | null {
    return this.#environments.get(name)?.lastRequestAt ?? null;
  }

  inFlight(name: string): number {
    return this.#environments.get(name)?.inFlight ?? 0;
  }

  async drained(backendId: string, signal: AbortSignal): Promise<void> {
    await this.#pools.get(backendId)?.drained(signal);
  }

  // ---- what clients ask

  #serve(request: IncomingMessage, response: ServerResponse, manner: Manner, entry: Entry | null): void {
    const http2 = isHttp2(manner);
    const head = readRequestHead(request, {
      websocketKey: manner === 'http2-connect' ? randomBytes(16).toString('base64') : null,
      forwarded:
        entry !== null
          ? 'keep'
          : this.#trusted.size > 0 && this.#trusted.has(request.socket.remoteAddress ?? '')
            ? 'add'
            : 'set',
    });
    if ('sentence' in head) {
      const sentences = [
        `The request was refused: ${head.sentence}`,
        'Nothing was passed on to the app. The client has to be corrected.',
      ];
      sendAnswer(
        response,
        { status: head.status, title: 'Bad request', sentences, connection: 'close' },
        'text',
        http2,
      );
      return;
    }
    const environment = entry === null ? this.#byHost.get(head.host) : this.#environments.get(entry.environment);
    if (environment === undefined) {
      sendAnswer(response, unknownHost(head.host), head.reads, http2);
      request.resume();
      return;
    }
    const exchange: Exchange = new Exchange(request, response, head, manner, environment, entry?.service ?? null, {
      ...this.#exchangeOptions,
      finished: () => this.#exchanges.delete(exchange),
    });
    this.#exchanges.add(exchange);
    exchange.begin();
  }

  #wake(environment: Environment): void {
    environment.waking ??= this.#events.wake(environment.name).then(
      () => {
        environment.waking = null;
        // A table with backends has sent them on already. Asking again could go on for ever.
        if (environment.table?.answer === 'wake') this.#refuseHeld(environment, 'It could not be started.');
      },
      (error: unknown) => {
        environment.waking = null;
        this.#refuseHeld(environment, error instanceof Error ? error.message : String(error));
      },
    );
  }

  #refuseHeld(environment: Environment, sentence: string): void {
    environment.tellHeld((held) => held.giveUp(sentence));
  }

  // ---- bookkeeping

  #environment(name: string): Environment {
    let environment = this.#environments.get(name);
    if (environment === undefined) {
      environment = new Environment(name);
      this.#environments.set(name, environment);
    }
    return environment;
  }

  #pool(id: string, port: number): BackendPool {
    let pool = this.#pools.get(id);
    if (pool === undefined || pool.port !== port) {
      pool?.retire();
      pool = new BackendPool(id, port, this.#sweeper);
      this.#pools.set(id, pool);
    }
    pool.restore();
    return pool;
  }

  #retire(pool: BackendPool): void {
    pool.retire();
    const forget = (): void => {
      if (pool.retired && this.#pools.get(pool.id) === pool) this.#pools.delete(pool.id);
    };
    if (pool.inFlight === 0) forget();
    else void pool.drained(new AbortController().signal).then(forget);
  }

  async #openInternal(entry: Entry, preferred: number): Promise<Server> {
    try {
      return await this.#front.listen('127.0.0.1', preferred, entry);
    } catch (error) {
      if (preferred === 0) throw error;
      this.#log(
        `port ${preferred} of ${entry.environment} ${entry.service} is taken by another program; it gets another one`,
      );
      return this.#front.listen('127.0.0.1', 0, entry);
    }
  }
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on a port');
  return address.port;
}

function unknownHost(host: string): { status: number; title: string; sentences: string[] } {
  return {
    status: 404,
    title: 'Nothing at this host name',
    sentences: [
      `The router knows no environment at "${host}".`,
      'It may have been removed, not deployed yet, or the address may be misspelled.',
      'Run "slipway status" to see the environments and their addresses.',
    ],
  };
}
