import { readFile } from 'node:fs/promises';
import https from 'node:https';
import path from 'node:path';
import { parse } from 'yaml';

/** An answer of the Kubernetes API that is no success. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Kubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: Record<string, unknown> }[];
  users?: { name: string; user: Record<string, unknown> }[];
}

export interface Answer {
  status: number;
  text: string;
}

/** A plain client of the Kubernetes API: paths and JSON. */
export class Api {
  readonly server: URL;
  readonly #agent: https.Agent;
  readonly #headers: Record<string, string>;

  constructor(server: string, options: https.AgentOptions, headers: Record<string, string> = {}) {
    this.server = new URL(server);
    this.#agent = new https.Agent({ ...options, keepAlive: true });
    this.#headers = headers;
  }

  /** The cluster and the user of a kubeconfig's current context: certificates or a token, as files or in it. */
  static async open(file: string): Promise<Api> {
    const config = parse(await readFile(file, 'utf8')) as Kubeconfig;
    const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context;
    const cluster = config.clusters?.find(({ name }) => name === context?.cluster)?.cluster;
    const user = config.users?.find(({ name }) => name === context?.user)?.user;
    if (cluster === undefined || user === undefined)
      throw new Error(`${file} has no current context with a cluster and a user. Set one: kubectl config use-context`);
    if (user['exec'] !== undefined || user['auth-provider'] !== undefined)
      throw new Error(
        `${file} gets its user from a program, which the tests can't. Use a token or a client certificate.`,
      );
    const read = async (from: Record<string, unknown>, key: string) => {
      const [inline, name] = [from[`${key}-data`], from[key]];
      if (typeof inline === 'string') return Buffer.from(inline, 'base64');
      return typeof name === 'string' ? await readFile(path.resolve(path.dirname(file), name)) : undefined;
    };
    const [ca, cert, key] = [
      await read(cluster, 'certificate-authority'),
      await read(user, 'client-certificate'),
      await read(user, 'client-key'),
    ];
    const token = typeof user['token'] === 'string' ? user['token'] : null;
    return new Api(
      String(cluster['server']),
      {
        ...(ca && { ca }),
        ...(cert && { cert }),
        ...(key && { key }),
        rejectUnauthorized: cluster['insecure-skip-tls-verify'] !== true,
      },
      token === null ? {} : { authorization: `Bearer ${token}` },
    );
  }

  /** @throws {ApiError} when the status is not 2xx. */
  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.text(path)) as T;
  }

  /** For logs, metrics and what a service answers through the API's proxy. */
  async text(path: string): Promise<string> {
    return (await this.#checked('GET', path)).text;
  }

  async create<T>(path: string, object: unknown): Promise<T> {
    return JSON.parse((await this.#checked('POST', path, JSON.stringify(object))).text) as T;
  }

  async patch<T>(path: string, merge: unknown): Promise<T> {
    const type = 'application/merge-patch+json';
    return JSON.parse((await this.#checked('PATCH', path, JSON.stringify(merge), type)).text) as T;
  }

  /** Creates or changes an object as one manager of its fields (server-side apply). */
  async apply<T>(path: string, object: unknown): Promise<T> {
    const query = '?fieldManager=slipway-test&force=true';
    const type = 'application/apply-patch+yaml';
    return JSON.parse((await this.#checked('PATCH', path + query, JSON.stringify(object), type)).text) as T;
  }

  /** Fine when it is gone. What depends on it goes in the background. */
  async delete(path: string): Promise<void> {
    const answer = await this.send('DELETE', path, JSON.stringify({ propagationPolicy: 'Background' }));
    if (answer.status !== 404) check('DELETE', path, answer);
  }

  async #checked(method: string, path: string, body?: string, type?: string): Promise<Answer> {
    const answer = await this.send(method, path, body, type);
    check(method, path, answer);
    return answer;
  }

  send(method: string, path: string, body?: string, type = 'application/json'): Promise<Answer> {
    // Of a DELETE, Node.js does not say by itself how long its body is; the server would take it for the next request.
    const content = body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const headers = { ...this.#headers, ...content };
    const url = new URL(this.server.pathname.replace(/\/$/, '') + path, this.server);
    return new Promise((resolve, reject) => {
      const request = https.request(url, { method, headers, agent: this.#agent, timeout: 30_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      });
      request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer for 30 s`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function check(method: string, path: string, { status, text }: Answer): void {
  if (status >= 200 && status < 300) return;
  const message = /"message":\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text;
  throw new ApiError(status, `${method} ${path}: ${status} ${message}`);
}
