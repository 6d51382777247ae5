import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import { filesOf } from '../home.ts';
import { prepareHome, type PreparedHome } from './folders.ts';
import { lockOwner, releaseLock, takeLock } from './lock.ts';
import { capLog } from './log-file.ts';
import { KeptPart, type Part } from './part.ts';
import { makeParts, recordStrays, type Parts } from './parts.ts';
import { choosePort } from './ports.ts';
import { isRunning } from './process-identity.ts';
import { readState, writeState } from './state.ts';

export interface UpRequest {
  home: string;
  entry: string;
  /** null: not asked for. */
  port: number | null;
  routerPort: number | null;
  databaseUrl: string | null;
}

/** What a person or a program needs to use a running Slipway. */
export interface UpInfo {
  url: string;
  token: string;
  routerUrl: string;
  home: string;
}

export interface UpReport {
  /** What is being done. */
  doing: (text: string) => void;
  /** A line worth keeping. */
  note: (text: string) => void;
  /** Everything answers. The supervisor goes on after it has resolved, but not before. */
  ready: (info: UpInfo) => Promise<void>;
}

const HOST = '127.0.0.1';
const USUAL_PORT = 7300;
const USUAL_ROUTER_PORT = 7380;
const CAP_LOGS_MILLISECONDS = 30_000;

/**
 * Runs everything on this machine until `stop` aborts, then stops it in reverse order.
 *
 * PostgreSQL, the agent and the control plane are processes that outlive this one: it starts them, or adopts those that an
 * `up` left which was killed, and starts each again when it ends.
 *
 * @returns `already-running` at once when another `up` has this home.
 * @throws {SlipwayError} when something does not start; what had been started is stopped.
 */
export async function supervise(
  request: UpRequest,
  report: UpReport,
  stop: AbortSignal,
): Promise<'stopped' | 'already-running'> {
  const files = filesOf(request.home);
  const prepared = prepareHome(request.home);
  if (takeLock(files.lock) !== null) return 'already-running';
  try {
    if (prepared.note !== null) report.note(prepared.note);
    recordStrays({ ...request, data: prepared.data });
    const ports = await choosePorts(request, report);
    const parts = makeParts({ ...request, ...ports, data: prepared.data });
    const ready = async () => {
      writeState(files.up, { ...readState(files.up), readyUnder: process.pid });
      await report.ready(infoOf(request.home, prepared, ports));
    };
    const logs = ['server.log', 'agent.log', 'up.log'].map((name) => join(files.logs, name));
    await runParts(parts, report, stop, ready, logs);
    rmSync(files.server, { force: true });
    return 'stopped';
  } finally {
    releaseLock(files.lock);
  }
}

/** What `up` says of a home that runs. @returns null when nobody runs it, or not everything answers yet. */
export function runningInfo(home: string): UpInfo | null {
  const files = filesOf(home);
  const { port, routerPort, readyUnder } = readState(files.up);
  const owner = lockOwner(files.lock);
  if (owner === null || owner.pid !== readyUnder || port === null || routerPort === null) return null;
  return infoOf(home, prepareHome(home), { port, routerPort });
}

async function runParts(
  { postgres, agent, server }: Parts,
  report: UpReport,
  stop: AbortSignal,
  ready: () => Promise<void>,
  logs: string[],
): Promise<void> {
  const kept: KeptPart[] = [];
  const ending = new AbortController();
  const start = async (part: Part) => {
    // One part may fail while another one is on its way: what comes after that is not begun any more.
    if (ending.signal.aborted) return;
    const keeper = new KeptPart(part, report.note);
    kept.push(keeper);
    await keeper.start();
  };
  // Also holds the process, whose children are no reason for it to stay.
  const capping = setInterval(() => logs.forEach(capLog), CAP_LOGS_MILLISECONDS);
  const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
  try {
    report.doing('starting PostgreSQL, the agent and the control plane');
    const database = postgres === null ? Promise.resolve() : start(postgres);
    const starting = Promise.all([start(agent), database.then(() => start(server))]);
    starting.catch(() => {});
    await Promise.race([starting, stopped]);
    if (!stop.aborted) await Promise.race([ready(), stopped]);
    await stopped;
  } finally {
    ending.abort();
    report.doing('stopping apps, the control plane and PostgreSQL');
    await stopParts(kept);
    clearInterval(capping);
  }
}

/** The newest first: the control plane, then the apps with their agent, then PostgreSQL. */
async function stopParts(kept: KeptPart[]): Promise<void> {
  for (const part of kept.toReversed()) await part.stop();
}

async function choosePorts(request: UpRequest, report: UpReport): Promise<{ port: number; routerPort: number }> {
  const file = filesOf(request.home).up;
  const state = readState(file);
  // What still runs from an `up` that was killed has its ports, and they are its own.
  const running = (part: 'server' | 'agent') => {
    const record = state.parts[part];
    return record !== undefined && isRunning(record);
  };
  const wishes = {
    server: {
      purpose: 'control plane',
      option: '--port',
      asked: request.port,
      remembered: state.port,
      usual: USUAL_PORT,
    },
    agent: {
      purpose: 'router',
      option: '--router-port',
      asked: request.routerPort,
      remembered: state.routerPort,
      usual: USUAL_ROUTER_PORT,
    },
  };
  const choose = async (part: 'server' | 'agent', taken: number[]) => {
    const { asked, remembered } = wishes[part];
    if (running(part) && remembered !== null && (asked === null || asked === remembered)) return remembered;
    return choosePort(HOST, wishes[part], taken, report.note);
  };
  if (request.port !== null && request.port === request.routerPort) {
    throw new SlipwayError('mistake', `--port and --router-port are both ${request.port}`, {
      hint: 'Give each a port of its own.',
    });
  }
  const port = await choose('server', request.routerPort === null ? [] : [request.routerPort]);
  const routerPort = await choose('agent', [port]);
  writeState(file, { ...readState(file), port, routerPort });
  return { port, routerPort };
}

function infoOf(home: string, { token }: PreparedHome, ports: { port: number; routerPort: number }): UpInfo {
  return { url: `http://${HOST}:${ports.port}`, token, routerUrl: `http://${HOST}:${ports.routerPort}`, home };
}
