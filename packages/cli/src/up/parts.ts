import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesOf } from '../home.ts';
import { socketPath } from '@slipway/machine/socket';
import { ask } from './ask.ts';
import type { Part } from './part.ts';
import { postgresPart } from './postgres-part.ts';
import { findProcess, isRunning } from './process-identity.ts';
import { processPart } from './process-part.ts';
import { readState, writeState, type PartName, type PartRecord } from './state.ts';
import { trustedJson } from '../trusted-json.ts';

export interface PartsOptions {
  home: string;
  entry: string;
  /** Where the data is, links followed. */
  data: string;
  port: number;
  routerPort: number;
  /** A PostgreSQL of the user's own; null: the embedded one. */
  databaseUrl: string | null;
}

/** In the order in which they are started. */
export interface Parts {
  /** null: the user's own is used. */
  postgres: Part | null;
  agent: Part;
  server: Part;
}

/**
 * Small heaps: a young generation of 1 MiB instead of 16 costs a few more, short collections, and these processes are
 * idle most of the time.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];
/** The control plane finishes its answers; tasks go back to the queue. */
const SERVER_STOP_SECONDS = 20;
/** Longer than an app may take. */
const APPS_STOP_SECONDS = 600;
/** Once apps are stopped the agent has nothing left to do. */
const AGENT_STOP_SECONDS = 10;

/** Everything `up` runs on this machine. */
export function makeParts(options: PartsOptions): Parts {
  const files = filesOf(options.home);
  const { entry } = options;
  const ports = ['--port', String(options.port), '--router-port', String(options.routerPort)];
  const agentFolder = join(options.data, 'agent');
  const postgres =
    options.databaseUrl === null
      ? postgresPart({
          folder: join(options.data, 'postgres'),
          log: join(files.logs, 'postgres.log'),
          record: recordOf(files.up, 'postgres'),
        })
      : null;
  return {
    postgres,
    agent: processPart({
      title: 'agent',
      entry,
      nodeFlags: NODE_FLAGS,
      args: [...partArguments('agent', options.home), '--router-port', String(options.routerPort)],
      variables: () => ({}),
      log: join(files.logs, 'agent.log'),
      cache: files.cache,
      record: recordOf(files.up, 'agent'),
      answers: ({ pid }) => agentAnswers(agentFolder, pid),
      // Apps have their own graces; it answers when the last one has ended.
      beforeEnd: async () => {
        await ask({ socketPath: socketPath(agentFolder), method: 'POST', path: '/shutdown' }, APPS_STOP_SECONDS);
      },
      graceSeconds: AGENT_STOP_SECONDS,
    }),
    server: processPart({
      title: 'control plane',
      entry,
      nodeFlags: NODE_FLAGS,
      args: [...partArguments('server', options.home), ...ports],
      variables: () => ({ DATABASE_URL: options.databaseUrl ?? postgres?.url() ?? '' }),
      log: join(files.logs, 'server.log'),
      cache: files.cache,
      record: recordOf(files.up, 'server'),
      answers: ({ pid }) => serverAnswers(files.server, pid),
      graceSeconds: SERVER_STOP_SECONDS,
    }),
  };
}

/**
 * Records what an `up` started and was killed before it had recorded it: else it would hold its port and folder against its
 * successor for ever. What is recorded here is replaced when it is started, and ended by `down`.
 */
export function recordStrays({ home, entry, data }: Pick<PartsOptions, 'home' | 'entry' | 'data'>): void {
  const commands: Record<PartName, string[]> = {
    postgres: ['-D', join(data, 'postgres', 'data')],
    agent: [...NODE_FLAGS, entry, ...partArguments('agent', home)],
    server: [...NODE_FLAGS, entry, ...partArguments('server', home)],
  };
  for (const name of ['postgres', 'agent', 'server'] as const) {
    const record = recordOf(filesOf(home).up, name);
    const known = record.read();
    if (known !== undefined && isRunning(known)) continue;
    const stray = findProcess(commands[name]);
    if (stray !== null) record.write({ ...stray, start: '' });
  }
}

/** How the command line of a part begins. */
function partArguments(name: 'agent' | 'server', home: string): string[] {
  return [name, '--home', home];
}

function recordOf(file: string, name: PartName) {
  return {
    read: () => readState(file).parts[name],
    write: (record: PartRecord) => {
      const state = readState(file);
      writeState(file, { ...state, parts: { ...state.parts, [name]: record } });
    },
  };
}

/** `server.json` of an earlier run may still be there: only the one that this process wrote counts. */
async function serverAnswers(file: string, pid: number): Promise<boolean> {
  let server: { url: string; pid: number };
  try {
    server = trustedJson<{ url: string; pid: number }>(readFileSync(file, 'utf8'));
  } catch {
    return false;
  }
  if (server.pid !== pid) return false;
  const { hostname, port } = new URL(server.url);
  return (await ask({ hostname, port, path: '/healthz' })) !== null;
}

async function agentAnswers(folder: string, pid: number): Promise<boolean> {
  const health = await ask({ socketPath: socketPath(folder), path: '/healthz' });
  return health !== null && trustedJson<{ pid: number }>(health).pid === pid;
}
