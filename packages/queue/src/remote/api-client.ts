import { Readable } from 'node:stream';
import type { z } from 'zod';
import { describeError } from '../connection-errors.ts';
import { failure } from './schemas.ts';

export interface ApiAddress {
  /** Of the tasks API, with its prefix: `https://slipway.example.com/api/queue`. */
  url: string;
  /** Sent as `authorization: Bearer …`. */
  token: string;
}

/** The server can't be reached, or can't answer now. Trying again later may help. */
export class ApiUnreachable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApiUnreachable';
  }
}

/** The server understood, and refused. Trying again does not help. */
export class ApiRefused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiRefused';
    this.status = status;
  }
}

export interface CallOptions {
  /** Seconds until the connection is taken for dead. */
  seconds: number;
  signal?: AbortSignal;
}

/** Sends requests to a tasks API, over connections that are kept. */
export class ApiClient {
  readonly #url: string;
  readonly #token: string;

  /** @throws {Error} for a URL that is none. */
  constructor({ url, token }: ApiAddress) {
    const protocol = URL.canParse(url) ? new URL(url).protocol : '';
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw new Error(`'${url}' is not the URL of a tasks API: expected http://HOST… or https://HOST…`);
    }
    this.#url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  /** @throws {ApiUnreachable} {ApiRefused} */
  async call<T>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body: unknown,
    schema: z.ZodType<T>,
    options: CallOptions,
  ): Promise<T> {
    const text = body === undefined ? null : JSON.stringify(body);
    const response = await this.send(method, path, text, options);
    const value: unknown = await response.json().catch((error: unknown) => {
      throw this.#unreachable(error);
    });
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new ApiRefused(
      response.status,
      `${this.#url} answered ${method} ${path} with something unexpected: is it a tasks API?`,
    );
  }

  /** The answer of a request that was done. */
  async send(method: string, path: string, body: string | Readable | null, options: CallOptions): Promise<Response> {
    const signals = [AbortSignal.timeout(options.seconds * 1_000), ...(options.signal ? [options.signal] : [])];
    const address = `${this.#url}${path.split('/').map(encodeURIComponent).join('/')}`;
    // Two declarations of fetch compete, the DOM's and that of Node, which alone knows streams and `duplex`.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const init = {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      signal: AbortSignal.any(signals),
      redirect: 'error', // a token is for this address only
      ...(body !== null && { body: typeof body === 'string' ? body : Readable.toWeb(body), duplex: 'half' }),
    } as RequestInit;
    let response: Response;
    try {
      response = await fetch(address, init);
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (response.ok) return response;
    throw await this.#failed(method, path, response);
  }

  #unreachable(error: unknown): ApiUnreachable {
    return new ApiUnreachable(`the tasks API at ${this.#url} can't be reached: ${describeError(error)}`, {
      cause: error,
    });
  }

  async #failed(method: string, path: string, response: Response): Promise<Error> {
    const { status } = response;
    const parsed = failure.safeParse(await response.json().catch(() => null));
    const said = parsed.success ? `${parsed.data.error.message} ${parsed.data.error.hint}` : `status ${status}`;
    if (status >= 500 || status === 408 || status === 429) {
      return new ApiUnreachable(`the tasks API at ${this.#url} can't answer now: ${said}`);
    }
    if (status === 401 || status === 403) {
      return new ApiRefused(
        status,
        `the tasks API at ${this.#url} does not accept the token: ${said} Give a valid one.`,
      );
    }
    if (status === 404 && !parsed.success) {
      return new ApiRefused(
        status,
        `there is no tasks API at ${this.#url}: ${method} ${path} was not found. Check the URL.`,
      );
    }
    return new ApiRefused(status, `the tasks API at ${this.#url} refused ${method} ${path}: ${said}`);
  }
}
