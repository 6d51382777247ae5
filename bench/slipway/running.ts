import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { CannotMeasure } from '../measure.ts';

export interface Environment {
  state: string;
  reason: string | null;
  release: { number: number; commit: string } | null;
}

/** A Slipway as `slipway up` runs it, in a home of its own, with git repositories that push to it. */
export class RunningSlipway {
  readonly home: string;
  readonly url: string;
  readonly token: string;
  readonly routerPort: number;
  readonly #up: ChildProcess;
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(home: string, up: ChildProcess, info: { url: string; token: string; routerUrl: string }) {
    this.home = home;
    this.#up = up;
    this.url = info.url;
    this.token = info.token;
    this.routerPort = Number(new URL(info.routerUrl).port);
  }

  static async start(): Promise<RunningSlipway> {
    // Readable for the user that apps run as.
    const home = await mkdtemp(path.join(os.tmpdir(), 'slipway-bench-'));
    await execute('chmod', ['755', home]);
    const up = spawn(
      path.join(import.meta.dirname, '..', '..', 'slipway'),
      ['up', '--json', '--home', path.join(home, 'home')],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, DATABASE_URL: '' } },
    );
    const lines = createInterface({ input: up.stdout });
    const first = once(lines, 'line');
    const [line] = await Promise.race([
      first,
      once(up, 'exit').then(() => {
        throw new CannotMeasure('slipway up ended before it was ready');
      }),
    ]);
    return new RunningSlipway(home, up, JSON.parse(String(line)) as { url: string; token: string; routerUrl: string });
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    const exited = once(this.#up, 'exit');
    this.#up.kill('SIGTERM');
    await exited;
    await rm(this.home, { recursive: true, force: true });
  }

  /** Makes a repository with these files on `main`. @returns functions that commit and push in it. */
  async repository(app: string, files: Record<string, string>): Promise<Repository> {
    const folder = path.join(this.home, 'work', app);
    await mkdir(folder, { recursive: true });
    const remote = `${this.url.replace('http://', `http://x:${this.token}@`)}/git/${app}.git`;
    const repository = new Repository(folder, remote);
    await repository.git('init', '-q', '-b', 'main');
    await repository.commit(files, 'First');
    return repository;
  }

  async api<Answer>(method: string, apiPath: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.url}/api${apiPath}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${apiPath}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  /** One request to an environment through the router, on a keep-alive connection. */
  get(host: string, requestPath = '/'): Promise<{ status: number; body: string }> {
    return get(this.routerPort, host, requestPath, this.#agent);
  }

  /** Seconds from now until the environment answers as wanted; asks every few milliseconds. */
  async secondsUntil(host: string, wanted: (body: string) => boolean, since = performance.now()): Promise<number> {
    for (;;) {
      const { status, body } = await this.get(host);
      if (status === 200 && wanted(body)) return (performance.now() - since) / 1000;
      if (performance.now() - since > 60_000)
        throw new Error(`${host} did not answer as wanted within 60 s: ${status} ${body}`);
      await pause(3);
    }
  }

  /** Waits until the environment is as wanted, asking the API. */
  async until(app: string, environment: string, wanted: (one: Environment) => boolean): Promise<Environment> {
    const since = performance.now();
    for (;;) {
      const one = await this.api<Environment>('GET', `/apps/${app}/environments/${environment}`);
      if (wanted(one)) return one;
      if (performance.now() - since > 120_000) throw new Error(`${app}/${environment} is still ${JSON.stringify(one)}`);
      await pause(50);
    }
  }

  /** Ids of Slipway's own processes: `up`, the control plane, the agent, PostgreSQL with its backends; not those of apps. */
  async processes(): Promise<number[]> {
    const all = new Map<number, { parent: number; command: string }>();
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => null);
      const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
      if (stat === null) continue;
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      all.set(Number(entry), { parent, command: command.replaceAll('\0', ' ') });
    }
    const ours = new Set<number>();
    for (const [pid, { command }] of all)
      if (pid === this.#up.pid || (command.includes(this.home) && /main\.ts|bin\/postgres/.test(command)))
        ours.add(pid);
    // PostgreSQL's backends name no folder; they are children of the one that does.
    for (const [pid, { parent, command }] of all)
      if (ours.has(parent) && command.startsWith('postgres:')) ours.add(pid);
    return [...ours];
  }
}

export class Repository {
  readonly folder: string;
  readonly remote: string;

  constructor(folder: string, remote: string) {
    this.folder = folder;
    this.remote = remote;
  }

  async commit(files: Record<string, string>, message: string): Promise<string> {
    for (const [name, content] of Object.entries(files)) await writeFile(path.join(this.folder, name), content);
    await this.git('add', '-A');
    await this.git('commit', '-q', '--allow-empty', '-m', message);
    return (await this.git('rev-parse', 'HEAD')).trim();
  }

  async push(...refs: string[]): Promise<void> {
    await this.git('push', '-q', this.remote, ...(refs.length > 0 ? refs : ['main']));
  }

  async git(...args: string[]): Promise<string> {
    return await execute('git', ['-c', 'user.name=Bench', '-c', 'user.email=bench@example.com', ...args], this.folder);
  }
}

export async function execute(program: string, args: string[], cwd?: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(program, args, { cwd, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

export async function get(
  port: number,
  host: string,
  requestPath: string,
  agent: Agent,
): Promise<{ status: number; body: string }> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, path: requestPath, headers: { host }, agent },
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

export async function pause(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * An app's own share: seconds from starting its process until its health path answers, asked every few milliseconds. Measured in the same run
 * and taken off what a person waits for.
 */
export async function startToHealthy(folder: string, command: string[], port: number): Promise<number> {
  const agent = new Agent({ keepAlive: false });
  const since = performance.now();
  const [program = '', ...args] = command;
  const child = spawn(program, args, { cwd: folder, stdio: 'ignore', env: { ...process.env, PORT: String(port) } });
  try {
    for (;;) {
      const answer = await get(port, 'localhost', '/healthz', agent).catch(() => null);
      if (answer?.status === 200) return (performance.now() - since) / 1000;
      if (performance.now() - since > 30_000) throw new Error('the app of the benchmark does not start');
      await pause(3);
    }
  } finally {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}
