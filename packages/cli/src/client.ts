import { readFile } from 'node:fs/promises';
import { SlipwayError } from '@slipway/app/errors';
import type { ApiProblem } from './api.ts';
import type { Context } from './context.ts';
import { filesOf } from './home.ts';
import { serverSentEvents, textLines, type ServerSentEvent } from './sse.ts';
import { trustedJson } from './trusted-json.ts';
import { errorCode } from './error-code.ts';

/** Where a control plane is, and how to be let in. */
export interface ServerAddress {
  url: string;
  token: string;
}

/** A small wrapper around `fetch` for the HTTP API. Every error is a `SlipwayError`. */
export class Client {
  readonly url: string;
  readonly #token: string;

  constructor({ url, token }: ServerAddress) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>('GET', path);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#json<T>('POST', path, body);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>('PUT', path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#json<T>('DELETE', path);
  }

  /** Newline-delimited JSON, value by value, until the server ends it or `signal` aborts. */
  async *lines<T>(method: 'GET' | 'POST', path: string, signal?: AbortSignal): AsyncGenerator<T> {
    const response = await this.#request(method, path, { signal });
    for await (const line of textLines(bodyOf(response, this.url, signal))) {
      if (line.trim() !== '') yield trustedJson<T>(line);
    }
  }

  /** Server-sent events until the connection ends or `signal` aborts. @param after The id to go on after. */
  async *stream(
    path: string,
    options: { after?: string | null; signal?: AbortSignal } = {},
  ): AsyncGenerator<ServerSentEvent> {
    const response = await this.#request('GET', path, {
      signal: options.signal,
      headers: options.after == null ? {} : { 'last-event-id': options.after },
    });
    yield* serverSentEvents(bodyOf(response, this.url, options.signal));
  }

  /** Opens a WebSocket. A browser's client can't set headers, so the token travels as a subprotocol. */
  webSocket(path: string): WebSocket {
    return new WebSocket(`${this.url.replace(/^http/, 'ws')}${path}`, [`slipway.token.${this.#token}`]);
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#request(method, path, body === undefined ? {} : { body: JSON.stringify(body) });
    try {
      // 204 has nothing to say.
      return trustedJson<T>((await response.text()) || 'null');
    } catch (error) {
      throw notSlipway(this.url, error);
    }
  }

  async #request(
    method: string,
    path: string,
    options: { body?: string; signal?: AbortSignal | undefined; headers?: Record<string, string> },
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        body: options.body ?? null,
        signal: options.signal ?? null,
        redirect: 'error',
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...options.headers,
        },
      });
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      throw unreachable(this.url, error);
    }
    if (!response.ok) throw await problemOf(response, this.url);
    return response;
  }
}

/**
 * The control plane this home belongs to: the one `slipway login` saved, else the one that runs here.
 *
 * @throws {SlipwayError} `transient` when none runs.
 */
export async function connect(context: Pick<Context, 'home'>): Promise<Client> {
  return new Client(await serverAddress(context.home));
}

export async function serverAddress(home: string): Promise<ServerAddress> {
  return (await savedLogin(home)) ?? localAddress(home);
}

/** What `slipway login` saved; null when nobody is logged in. */
export async function savedLogin(home: string): Promise<ServerAddress | null> {
  return readJson<ServerAddress>(filesOf(home).login);
}

/** The control plane that runs on this machine. @throws {SlipwayError} `transient` when none runs. */
export async function localAddress(home: string): Promise<ServerAddress> {
  const files = filesOf(home);
  const server = await readJson<{ url: string; pid: number }>(files.server);
  const token = await readText(files.token);
  if (server === null || token === null || !isAlive(server.pid)) {
    throw new SlipwayError('transient', `Slipway is not running (home ${home})`, { hint: 'Start it: slipway up' });
  }
  return { url: server.url, token: token.trim() };
}

async function* bodyOf(response: Response, url: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    yield* response.body;
  } catch (error) {
    if (signal?.aborted === true) return;
    throw new SlipwayError('transient', `the connection to the control plane at ${url} broke`, {
      hint: 'Run the command again in a moment; if Slipway is down, start it: slipway up',
      cause: error,
    });
  }
}

async function problemOf(response: Response, url: string): Promise<SlipwayError> {
  const text = await response.text();
  let problem: Partial<ApiProblem>;
  try {
    problem = trustedJson<Partial<ApiProblem>>(text);
  } catch (error) {
    return notSlipway(url, error);
  }
  if (typeof problem.title !== 'string') return notSlipway(url, null);
  if (problem.kind === 'bug' || problem.kind === undefined) {
    return new SlipwayError('bug', `the control plane made a mistake of its own: ${problem.title}`, {
      hint: 'Its log (logs/server.log in the home) says more; please report it.',
    });
  }
  return new SlipwayError(problem.kind, problem.title, problem.hint == null ? {} : { hint: problem.hint });
}

function unreachable(url: string, error: unknown): SlipwayError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? errorCode(cause) || cause.message : String(cause);
  return new SlipwayError('transient', `the control plane at ${url} does not answer (${why})`, {
    hint: 'Try again in a moment; if it is down, start it: slipway up',
    cause: error,
  });
}

function notSlipway(url: string, cause: unknown): SlipwayError {
  return new SlipwayError('transient', `what answers at ${url} is not a Slipway control plane`, {
    hint: 'Check the address (slipway login URL) and what stands in front of it.',
    cause,
  });
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    if (errorCode(error) === 'EACCES') {
      throw new SlipwayError('denied', `${file} may not be read by this user`, {
        hint: 'Run the command as the user that runs slipway up, or use another --home.',
      });
    }
    throw error;
  }
}

async function readJson<T>(file: string): Promise<T | null> {
  const text = await readText(file);
  if (text === null) return null;
  try {
    return trustedJson<T>(text);
  } catch (error) {
    throw new SlipwayError('mistake', `${file} is damaged: it is not JSON`, {
      hint: `Remove it: rm '${file}' (and log in again, or restart slipway up).`,
      cause: error,
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}
