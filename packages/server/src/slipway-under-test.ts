import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import path from 'node:path';
import { createMachineEngine } from '@slipway/machine';
import { EmbeddedPostgres } from '@slipway/postgres';
import { Client } from 'pg';
import { onTestFinished } from 'vitest';
import { freePort, startProcess, temporaryFolder, testDatabase, waitFor, type TestProcess } from '@slipway/testing';
import type { ApiApp, ApiEnvironment, ApiEvent, ApiRollout } from './api/schemas.ts';

/**
 * A whole Slipway for one test: the control plane and the agent as processes of their own, a real PostgreSQL, real git. Everything goes
 * through the front doors, as it does for a user.
 */
export class SlipwayUnderTest {
  readonly home: string;
  readonly databaseUrl: string;
  readonly token: string;
  readonly port: number;
  readonly routerPort: number;
  /** Its own PostgreSQL, for tests that kill it; null: a database of the one the whole run shares. */
  readonly postgres: EmbeddedPostgres | null;
  server: TestProcess | null = null;
  #host = '127.0.0.1';
  agent: TestProcess | null = null;

  private constructor(
    home: string,
    databaseUrl: string,
    token: string,
    port: number,
    routerPort: number,
    postgres: EmbeddedPostgres | null,
  ) {
    this.home = home;
    this.databaseUrl = databaseUrl;
    this.token = token;
    this.port = port;
    this.routerPort = routerPort;
    this.postgres = postgres;
  }

  /** @param options.host address that the control plane listens on; pods of a test cluster don't reach the loopback one. */
  static async start(
    options: { postgres?: 'shared' | 'own'; home?: string; host?: string } = {},
  ): Promise<SlipwayUnderTest> {
    const home = options.home ?? (await temporaryFolder());
    const [port, routerPort] = await Promise.all([freePort(), freePort()]);
    const own = options.postgres === 'own' ? await startPostgres(home) : null;
    const { url: databaseUrl } = own ?? (await testDatabase());
    const token = `slw_${randomBytes(32).toString('base64url')}`;
    await writeFile(path.join(home, 'token'), token, { mode: 0o600 });
    const slipway = new SlipwayUnderTest(home, databaseUrl, token, port, routerPort, own);
    slipway.#host = options.host ?? slipway.#host;
    await Promise.all([slipway.startAgent(), slipway.startServer()]);
    return slipway;
  }

  get url(): string {
    return `http://${this.#host}:${this.port}`;
  }

  async startAgent(): Promise<void> {
    this.agent = runModule(
      `import { runAgent } from '@slipway/machine';
       await runAgent(${JSON.stringify({ folder: path.join(this.home, 'agent'), routerHost: '127.0.0.1', routerPort: this.routerPort, domain: 'localhost' })});`,
    );
    // Runs before the agent is killed at the end of the test: its apps are no children of the test.
    const engine = createMachineEngine({ folder: path.join(this.home, 'agent') });
    onTestFinished(() => engine.shutDown().catch(() => undefined));
    await waitFor(async () => await answers(`http://127.0.0.1:${this.routerPort}/`), {
      what: `the router; the agent says: ${this.agent.output()}`,
      seconds: 20,
    });
  }

  async startServer(): Promise<void> {
    const server = this.#runServer('all');
    this.server = server;
    let ended = false;
    void server.exited.then(() => (ended = true));
    await waitFor(
      async () => {
        if (ended) throw new Error(`the control plane ended: ${server.output()}`);
        return await answers(`${this.url}/healthz`);
      },
      { what: 'the control plane', seconds: 30 },
    );
  }

  /** A worker beside the server; returns when it takes tasks. */
  async startWorker(): Promise<TestProcess> {
    const worker = this.#runServer('worker');
    await waitFor(async () => (await this.query(`select id from slipway_queue.worker`)).length === 2, {
      what: `the worker; it says: ${worker.output()}`,
      seconds: 20,
    });
    return worker;
  }

  #runServer(role: 'all' | 'worker'): TestProcess {
    return runModule(
      `import { runServer } from '@slipway/server';
       await runServer(${JSON.stringify({
         home: this.home,
         dataFolder: path.join(this.home, 'data'),
         host: this.#host,
         port: this.port,
         databaseUrl: this.databaseUrl,
         agentFolder: path.join(this.home, 'agent'),
         routerPort: this.routerPort,
         adminTokenFile: path.join(this.home, 'token'),
         role,
       })});`,
    );
  }

  /** What the database says, where no face tells it, or what must have been long ago. */
  async query(text: string): Promise<unknown[]> {
    const client = new Client({ connectionString: this.databaseUrl });
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** Resolves at the moment an event of this kind, newer than now, is committed. Armed once the promise of `arm` resolves. */
  async nextEvent(kind: string): Promise<{ seen: Promise<void> }> {
    const client = new Client({ connectionString: this.databaseUrl });
    client.on('error', () => undefined); // a test may kill the database
    await client.connect();
    await client.query('listen slipway_change');
    const seen = new Promise<void>((resolve) => {
      // One question at a time: the connection can't take more.
      let looking = Promise.resolve();
      const look = async (id: string | undefined): Promise<void> => {
        const { rows } = await client.query<{ kind: string }>('select kind from slipway.event where id = $1', [id]);
        if (rows[0]?.kind !== kind) return;
        resolve();
        await client.end();
      };
      client.on('notification', ({ payload = '' }) => {
        const [what, id] = payload.split(':');
        if (what === 'event') looking = looking.then(() => look(id)).catch(() => undefined);
      });
    });
    return { seen };
  }

  /** An answer of the API; throws with the problem for anything but 2xx. */
  async api<Answer>(method: string, apiPath: string, body?: unknown, token = this.token): Promise<Answer> {
    const response = await fetch(`${this.url}/api${apiPath}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as Answer;
  }

  async app(app: string): Promise<ApiApp> {
    return await this.api('GET', `/apps/${app}`);
  }

  async environment(app: string, environment: string): Promise<ApiEnvironment> {
    return await this.api('GET', `/apps/${app}/environments/${encodeURIComponent(environment)}`);
  }

  async events(app: string): Promise<ApiEvent[]> {
    return (await this.api<{ events: ApiEvent[] }>('GET', `/events?app=${app}&limit=1000`)).events;
  }

  /** Waits until an environment is as `judge` wants it. */
  async until(
    app: string,
    environment: string,
    what: string,
    judge: (environment: ApiEnvironment) => boolean,
    seconds = 30,
  ): Promise<ApiEnvironment> {
    let last: ApiEnvironment | null = null;
    return await waitFor(
      async () => {
        last = await this.environment(app, environment).catch(() => null);
        return last && judge(last) ? last : null;
      },
      { what: `${app}/${environment} ${what}`, seconds },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\nlast seen: ${JSON.stringify(last)}\nserver: ${this.server?.output()}`, {
        cause: error,
      });
    });
  }

  /** Waits until an environment runs this commit and is ready. */
  async ready(app: string, environment: string, commit: string): Promise<ApiEnvironment> {
    return await this.until(
      app,
      environment,
      `ready with ${commit.slice(0, 8)}`,
      (one) => one.state === 'ready' && one.release?.commit === commit,
    );
  }

  /** Waits until a rollout has ended. */
  async rolloutEnd(id: string): Promise<ApiRollout> {
    return await waitFor(
      async () => {
        const rollout = await this.api<ApiRollout>('GET', `/rollouts/${id}`);
        return rollout.state === 'waiting' || rollout.state === 'running' ? null : rollout;
      },
      { what: `the end of rollout ${id}`, seconds: 30 },
    );
  }

  /** A request to an environment through the router. */
  async request(host: string, requestPath = '/'): Promise<{ status: number; body: string }> {
    return await new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: this.routerPort, path: requestPath, headers: { host } },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (text: string) => (body += text));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
          response.on('error', reject);
        },
      );
      request.on('error', reject);
      request.end();
    });
  }

  /** A new git repository with these files committed on `main`, its remote set to this Slipway. */
  async repository(app: string, files: Record<string, string>): Promise<Repository> {
    const repository = new Repository(path.join(this.home, 'work', app), this.remote(app, this.token));
    await repository.create(files);
    return repository;
  }

  remote(app: string, token: string): string {
    return `http://x:${token}@${this.#host}:${this.port}/git/${app}.git`;
  }
}

/** A working copy that pushes to Slipway. */
export class Repository {
  readonly folder: string;
  readonly remote: string;

  constructor(folder: string, remote: string) {
    this.folder = folder;
    this.remote = remote;
  }

  async create(files: Record<string, string>): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await this.git('init', '-q', '-b', 'main');
    await this.commit(files, 'First');
  }

  /** Writes files and commits them. @returns the sha. */
  async commit(files: Record<string, string>, message: string): Promise<string> {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(this.folder, name)), { recursive: true });
      await writeFile(path.join(this.folder, name), content);
    }
    await this.git('add', '-A');
    await this.git('commit', '-q', '--allow-empty', '-m', message);
    return await this.head();
  }

  async head(): Promise<string> {
    return (await this.git('rev-parse', 'HEAD')).stdout.trim();
  }

  async read(file: string): Promise<string> {
    return await readFile(path.join(this.folder, file), 'utf8');
  }

  /** Pushes, waiting for the console's end. @returns what git printed. */
  async push(...refs: string[]): Promise<string> {
    const { stderr } = await this.git('push', this.remote, ...(refs.length > 0 ? refs : ['main']));
    return stderr;
  }

  async git(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    return await new Promise((resolve, reject) => {
      execFile(
        'git',
        args,
        {
          cwd: this.folder,
          env: {
            ...process.env,
            GIT_CONFIG_GLOBAL: '/dev/null',
            GIT_CONFIG_NOSYSTEM: '1',
            GIT_TERMINAL_PROMPT: '0',
            GIT_AUTHOR_NAME: 'Ada',
            GIT_AUTHOR_EMAIL: 'ada@example.com',
            GIT_COMMITTER_NAME: 'Ada',
            GIT_COMMITTER_EMAIL: 'ada@example.com',
          },
        },
        (error, stdout, stderr) => {
          if (error) reject(new Error(`git ${args[0]} failed: ${stderr}`, { cause: error }));
          else resolve({ stdout, stderr });
        },
      );
    });
  }
}

async function startPostgres(home: string): Promise<EmbeddedPostgres> {
  const postgres = new EmbeddedPostgres({ folder: path.join(home, 'postgres'), durable: 'no' });
  await postgres.start();
  onTestFinished(() => postgres.stop());
  return postgres;
}

function runModule(source: string): TestProcess {
  return startProcess(process.execPath, ['--input-type=module', '--eval', source], { cwd: import.meta.dirname });
}

async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    () => true,
    () => false,
  );
}

/** A file that apps may append to, whoever they run as. Removed at the end of the test. */
export async function journalFile(): Promise<string> {
  const folder = await temporaryFolder();
  await chmod(folder, 0o777);
  return path.join(folder, 'journal');
}

/** A small app: one service that answers with its release, config and text. */
export function sampleApp(
  app: string,
  options: { text?: string; yaml?: string; web?: string } = {},
): Record<string, string> {
  return {
    'slipway.yaml': options.yaml ?? sampleYaml(app),
    'text.txt': options.text ?? 'hello',
    'web.js': options.web ?? webJs,
  };
}

export function sampleYaml(app: string, extra = ''): string {
  return `app: ${app}
services:
  web:
    run: exec node web.js
    health: /healthz
    start: 10s
    stop: 2s
${extra}`;
}

export const webJs = `
const http = require('node:http');
const fs = require('node:fs');
const text = fs.readFileSync('text.txt', 'utf8');
http.createServer((request, response) => {
  if (request.url === '/healthz') { response.end('ok'); return; }
  response.end(JSON.stringify({ text, release: process.env.SLIPWAY_RELEASE, color: process.env.COLOR ?? null, pid: process.pid }));
}).listen(process.env.PORT, '127.0.0.1');
`;
