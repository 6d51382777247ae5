import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type ConformanceSetup, Watcher, webApp } from '@slipway/engine/conformance';
import { isRunning, readStat } from '@slipway/queue/processes';
import { freePort, temporaryFolder, waitFor } from '@slipway/testing';
import { onTestFinished } from 'vitest';
import { createMachineEngine } from '../engine.ts';
import type { MachineEngine } from '../engine.ts';

/** A real agent in a process of its own, as `slipway agent` runs it. */
export interface AgentUnderTest extends ConformanceSetup {
  engine: MachineEngine;
  folder: string;
  routerPort: number;
  /** Of the newest process. */
  pid: () => number;
  /** Everything it said. */
  output: () => string;
  /** Ends the agent with a signal and waits for its end. */
  end: (signal: NodeJS.Signals) => Promise<void>;
  start: () => Promise<void>;
  restart: () => Promise<void>;
}

const entry = new URL('./run.ts', import.meta.url).href;

/** `path`: PATH of the agent; by default the test's own. */
export async function agentUnderTest(options: { folder?: string; path?: string } = {}): Promise<AgentUnderTest> {
  const root = await temporaryFolder();
  const folder = options.folder ?? join(root, 'agent');
  const routerPort = await freePort();
  const engine = createMachineEngine({ folder });
  let child: ChildProcess | null = null;
  let output = '';
  let artifacts = 0;

  const current = (): ChildProcess => {
    if (child === null) throw new Error('the agent was not started');
    return child;
  };
  // Not bound to one test: a suite restarts it inside of one and goes on with it in the next.
  process.once('exit', () => child?.kill('SIGKILL'));
  const start = async (): Promise<void> => {
    const script = `import { runAgent } from ${JSON.stringify(entry)}; await runAgent({ ...${JSON.stringify({ folder, routerPort })}, log: console.log }); process.exit(0);`;
    child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      env: { ...process.env, ...(options.path === undefined ? {} : { PATH: options.path }) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout?.on('data', (text: Buffer) => (output += text.toString()));
    child.stderr?.on('data', (text: Buffer) => (output += text.toString()));
    await waitFor(() => engine.health(), { what: 'the agent to answer', seconds: 20 }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${output}`, { cause: error });
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = once(current(), 'exit');
    current().kill(signal);
    await ended;
  };
  await start();
  return {
    engine,
    folder,
    routerPort,
    pid: () => current().pid ?? 0,
    output: () => output,
    start,
    end,
    async artifact(files) {
      const path = join(root, `artifact-${(artifacts += 1)}`);
      for (const [name, text] of Object.entries(files)) {
        await mkdir(dirname(join(path, name)), { recursive: true });
        await writeFile(join(path, name), text);
      }
      return path;
    },
    async request(host, path, init = {}) {
      return await new Promise((resolve, reject) => {
        const outgoing = httpRequest(
          {
            host: '127.0.0.1',
            port: routerPort,
            path,
            method: init.method ?? 'GET',
            headers: { ...init.headers, host },
            agent: false,
          },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.on('error', reject);
            response.on('end', () =>
              resolve({ status: response.statusCode ?? 0, text: async () => Buffer.concat(chunks).toString() }),
            );
          },
        );
        outgoing.on('error', reject);
        outgoing.end(init.body);
      });
    },
    async restart() {
      await end('SIGKILL');
      await start();
    },
    async dispose() {
      await engine.shutDown();
      current().kill('SIGKILL');
      // Jobs seal folders; whoever removes them later is not root everywhere.
      await promisify(execFile)('chmod', ['-R', 'u+rwX', root]).catch(() => undefined);
    },
  };
}

/** The same for one test: its states are watched, and an app lies ready. */
export async function watchedAgent(
  options: { folder?: string } = {},
): Promise<AgentUnderTest & { watcher: Watcher; app: string }> {
  const under = await agentUnderTest(options);
  const watcher = new Watcher(under.engine);
  onTestFinished(async () => {
    await watcher.stop();
    await under.dispose();
  });
  return { ...under, watcher, app: await under.artifact(webApp) };
}

export function running(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== null && isRunning(pid, stat.startTime);
}
