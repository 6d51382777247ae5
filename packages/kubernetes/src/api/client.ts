import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import type { ClusterAccess } from './access.ts';
import { ApiError, noAnswer, refusal } from './api-error.ts';
import { Pace } from './pace.ts';

/** How many calls were made; a watch counts once when it is opened. */
export interface CallCount {
  reads: number;
  writes: number;
  watches: number;
}

export interface Call {
  body?: unknown;
  /** Default `application/json`. */
  type?: string;
  accept?: string;
  signal?: AbortSignal;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const APPLY = 'application/apply-patch+yaml';
const MERGE = 'application/merge-patch+json';
const TRIES = 5;
const ANSWER_MILLISECONDS = 30_000;
/** A server ends a watch before; one that does not has forgotten it. */
const SILENCE_MILLISECONDS = 660_000;
/** After so much silence the server is asked whether it is there: the connection of a machine that was unplugged breaks by itself after many minutes. */
const HEARTBEAT_MILLISECONDS = 20_000;
const HEARTBEAT_ANSWER_MILLISECONDS = 10_000;

/**
 * A thin client of one API server: paths and JSON, over one HTTP/2 connection. It is paced, tries again what may be tried again, and its
 * errors are `ApiError`s.
 */
export class ApiClient {
  readonly access: ClusterAccess;
  readonly pace: Pace;
  readonly calls: CallCount = { reads: 0, writes: 0, watches: 0 };
  #agent: Agent;
  #heardAt = performance.now();
  #heartbeat: NodeJS.Timeout | null = null;
  /** Followed logs stay open for long and would fill the streams that one connection may have. */
  readonly #streams: Agent;

  constructor(access: ClusterAccess, options: { pace?: Pace } = {}) {
    this.access = access;
    this.pace = options.pace ?? new Pace();
    this.#agent = sharedAgent(access);
    this.#streams = new Agent({ allowH2: false, connect: connectOptions(access) });
  }

  /** Something came from the server. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  async get<T>(path: string, call: Call = {}): Promise<T> {
    return await this.#json<T>('GET', path, call);
  }

  /** @throws {ApiError} `conflict` with reason `AlreadyExists`. A lost answer is not tried again: it may have been made. */
  async create<T>(path: string, body: unknown): Promise<T> {
    return await this.#json<T>('POST', path, { body });
  }

  /** Replaces what has the resourceVersion in `body`. */
  async replace<T>(path: string, body: unknown): Promise<T> {
    return await this.#json<T>('PUT', path, { body });
  }

  /**
   * Server-side apply.
   *
   * @param force `yes` takes fields away from other managers.
   * @param mode `dry-run`: the answer is what would be there, and nothing is written.
   */
  async apply<T>(
    path: string,
    body: unknown,
    manager: string,
    force: 'yes' | 'no',
    mode: 'write' | 'dry-run' = 'write',
  ): Promise<T> {
    const query = new URLSearchParams({
      fieldManager: manager,
      force: force === 'yes' ? 'true' : 'false',
      ...(mode === 'dry-run' && { dryRun: 'All' }),
    });
    return await this.#json<T>('PATCH', `${path}?${query.toString()}`, { body, type: APPLY });
  }

  async merge<T>(path: string, body: unknown): Promise<T> {
    return await this.#json<T>('PATCH', path, { body, type: MERGE });
  }

  /** Fine when it is gone already. @param body DeleteOptions. */
  async delete(path: string, body: Record<string, unknown> = {}): Promise<void> {
    try {
      await this.#json('DELETE', path, { body: { propagationPolicy: 'Background', ...body } });
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }

  async text(path: string): Promise<string> {
    return await this.#text('GET', path, { accept: '*/*' });
  }

  /**
   * A body that goes on: a watch, or followed logs. Ends with an error when it is silent for too long.
   *
   * @param on `shared`: the one connection. `own`: a connection for itself, without the bound on silence.
   */
  async stream(
    path: string,
    options: { signal: AbortSignal; accept?: string; on: 'shared' | 'own' },
  ): Promise<Readable> {
    this.calls.watches += 1;
    this.#heartbeat ??= setInterval(() => void this.#beat(), HEARTBEAT_MILLISECONDS).unref();
    await this.pace.turn();
    const agent = options.on === 'shared' ? this.#agent : this.#streams;
    const call = { signal: options.signal, ...(options.accept === undefined ? {} : { accept: options.accept }) };
    // Of a log in which nothing is, not even the head comes before something is.
    const patience =
      options.on === 'shared'
        ? { headersTimeout: ANSWER_MILLISECONDS, bodyTimeout: SILENCE_MILLISECONDS }
        : { headersTimeout: 0, bodyTimeout: 0 };
    const answer = await this.#send(agent, 'GET', path, call, patience);
    if (answer.statusCode === 200) return answer.body;
    throw await this.#refused('GET', path, answer);
  }

  /** What a WebSocket to the API server is opened with. */
  async upgradeOptions() {
    return { headers: await this.#headers({ accept: '*/*' }), ...connectOptions(this.access) };
  }

  async close(): Promise<void> {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    await Promise.all([this.#agent.destroy(), this.#streams.destroy()]);
  }

  /** Watches may be silent for long. When the server does not answer either, they are cut, and go on over a new connection from where they were. */
  async #beat(): Promise<void> {
    if (performance.now() - this.#heardAt < HEARTBEAT_MILLISECONDS) return;
    const agent = this.#agent;
    try {
      await this.#send(
        agent,
        'GET',
        '/version',
        { signal: AbortSignal.timeout(HEARTBEAT_ANSWER_MILLISECONDS) },
        { headersTimeout: ANSWER_MILLISECONDS, bodyTimeout: 0 },
      ).then(async ({ body }) => await body.dump());
      this.heard();
    } catch (error) {
      if (agent !== this.#agent) return;
      this.#agent = sharedAgent(this.access);
      await agent.destroy(new Error('the server was silent', { cause: error }));
    }
  }

  async #json<T>(method: Method, path: string, call: Call): Promise<T> {
    const value: T = JSON.parse((await this.#text(method, path, call)) || 'null');
    return value;
  }

  async #text(method: Method, path: string, call: Call): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(method, path, call);
      } catch (error) {
        if (attempt === TRIES || !(error instanceof ApiError) || !mayTryAgain(method, error)) throw error;
        if (error.status === 401) continue;
        // Where the server said how long, the pace waits.
        const pause = error.retryAfterSeconds === null ? 100 * 2 ** attempt * (0.5 + Math.random()) : 0;
        await delay(pause, undefined, call.signal === undefined ? {} : { signal: call.signal });
      }
    }
  }

  async #once(method: Method, path: string, call: Call): Promise<string> {
    await this.pace.turn();
    if (method === 'GET') this.calls.reads += 1;
    else this.calls.writes += 1;
    const sent = performance.now();
    const answer = await this.#send(this.#agent, method, path, call, {
      headersTimeout: ANSWER_MILLISECONDS,
      bodyTimeout: ANSWER_MILLISECONDS,
    });
    this.heard();
    this.pace.answered(performance.now() - sent);
    if (answer.statusCode >= 400) throw await this.#refused(method, path, answer);
    return await bodyOf(method, path, answer);
  }

  async #send(
    agent: Agent,
    method: Method,
    path: string,
    call: Call,
    patience: { headersTimeout: number; bodyTimeout: number },
  ): Promise<Dispatcher.ResponseData> {
    try {
      return await agent.request({
        origin: this.access.server.origin,
        path: this.access.server.pathname.replace(/\/$/, '') + path,
        method,
        headers: await this.#headers(call),
        ...patience,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw noAnswer(`${method} ${shortPath(path)}`, error);
    }
  }

  async #headers(call: Call): Promise<Record<string, string>> {
    const { identity } = this.access;
    return {
      accept: call.accept ?? 'application/json',
      'user-agent': 'slipway',
      ...(call.body === undefined ? {} : { 'content-type': call.type ?? 'application/json' }),
      ...(identity.kind === 'token' ? { authorization: `Bearer ${await identity.read()}` } : {}),
    };
  }

  async #refused(method: string, path: string, answer: Dispatcher.ResponseData): Promise<ApiError> {
    const header = answer.headers['retry-after'];
    const text = await bodyOf(method, path, answer);
    const error = refusal(
      `${method} ${shortPath(path)}`,
      answer.statusCode,
      text,
      typeof header === 'string' ? header : null,
    );
    if (error.status === 429 || (error.status === 503 && error.retryAfterSeconds !== null))
      this.pace.overloaded(error.retryAfterSeconds);
    if (error.status === 401 && this.access.identity.kind === 'token') this.access.identity.refused();
    return error;
  }
}

async function bodyOf(method: string, path: string, answer: Dispatcher.ResponseData): Promise<string> {
  try {
    return await answer.body.text();
  } catch (error) {
    throw noAnswer(`${method} ${shortPath(path)}`, error);
  }
}

/** What was not carried out may be sent again, and so may what changes nothing the second time. */
function mayTryAgain(method: Method, error: ApiError): boolean {
  if (error.status === 429 || error.status === 401) return true;
  return error.kind === 'transient' && error.status !== 410 && method !== 'POST';
}

/** For messages: the query says nothing that helps. */
function shortPath(path: string): string {
  return path.split('?')[0]?.replace(/^\/(api|apis\/[^/]+)\/v[^/]+\//, '') ?? path;
}

function sharedAgent(access: ClusterAccess): Agent {
  return new Agent({
    allowH2: true,
    connect: { ...connectOptions(access), timeout: ANSWER_MILLISECONDS },
    h2Options: { maxConcurrentStreams: 250 },
  });
}

function connectOptions({ ca, verification, serverName, identity }: ClusterAccess) {
  return {
    ...(ca === null ? {} : { ca }),
    ...(serverName === null ? {} : { servername: serverName }),
    ...(identity.kind === 'certificate' ? { cert: identity.certificate, key: identity.key } : {}),
    rejectUnauthorized: verification === 'required',
  };
}
