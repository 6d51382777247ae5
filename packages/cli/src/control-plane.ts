import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { errorCode } from './error-code.ts';
import { filesOf } from './home.ts';
import { logLine } from './log-line.ts';
import { writeSecret } from './secret-file.ts';
import { wholeNumber } from './target.ts';
import { prepareHome } from './up/folders.ts';
import { version } from './version.ts';

export interface ServerCommandOptions {
  host: string;
  port: string;
  routerPort: string;
  domain?: string;
  adminTokenFile?: string;
  inCluster?: string;
}

/** How long the PostgreSQL beside this process may take to answer. */
const NEIGHBOUR_SECONDS = 30;

export function declareServerOptions(command: Command): Command {
  return command
    .option('--host <address>', 'to listen on', '127.0.0.1')
    .option('--port <port>', 'of the control plane and dashboard', '7300')
    .option('--router-port <port>', 'where the agent’s router listens', '7380')
    .option('--domain <name>', 'environments are ENVIRONMENT.APP.<name> (default: localhost)');
}

/** Runs the control plane in this process until SIGTERM or SIGINT. */
export async function runControlPlane(
  context: Context,
  options: ServerCommandOptions,
  role: 'all' | 'worker',
): Promise<void> {
  const port = wholeNumber('--port', options.port, 0, 65_535);
  const routerPort = wholeNumber('--router-port', options.routerPort, 1, 65_535);
  const { data } = prepareHome(context.home);
  const files = filesOf(context.home);
  const databaseUrl = await databaseOf(data);
  // Commands on this home, such as those of `kubectl exec`, use the same token.
  if (options.adminTokenFile !== undefined) writeSecret(files.token, `${tokenIn(options.adminTokenFile)}\n`);
  const [{ runServer }, dashboard] = await Promise.all([
    import('@slipway/server'),
    role === 'worker' ? null : builtDashboard(),
  ]);
  await runServer({
    home: context.home,
    dataFolder: data,
    host: options.host,
    port,
    routerPort,
    databaseUrl,
    agentFolder: join(data, 'agent'),
    adminTokenFile: files.token,
    role,
    version,
    log: logLine,
    ...(dashboard === null ? {} : { dashboardFolder: dashboard }),
    ...(options.domain === undefined ? {} : { domain: options.domain }),
    ...(options.inCluster === undefined ? {} : { ownCluster: options.inCluster }),
  });
}

/** DATABASE_URL, else the PostgreSQL that `slipway postgres` runs on the same home. @throws {SlipwayError} */
async function databaseOf(data: string): Promise<string> {
  const given = process.env['DATABASE_URL'] ?? '';
  if (given !== '') return given;
  const { neighbourUrl } = await import('@slipway/postgres');
  const found = await neighbourUrl(join(data, 'postgres'), NEIGHBOUR_SECONDS).catch((error: unknown) => {
    throw new SlipwayError('transient', error instanceof Error ? error.message : String(error), {
      hint: 'Start it (slipway postgres), or set DATABASE_URL to a PostgreSQL of yours.',
      cause: error,
    });
  });
  if (found !== null) return found;
  throw new SlipwayError('mistake', 'DATABASE_URL is not set', {
    hint: 'Set it to a PostgreSQL of yours (postgres://USER:PASSWORD@HOST/DATABASE), or run everything at once: slipway up',
  });
}

function tokenIn(file: string): string {
  const token = readGiven(file).trim();
  // It travels in a header; what is shorter could be guessed.
  if (/^[\x21-\x7e]{20,}$/.test(token)) return token;
  throw new SlipwayError('mistake', `${file} holds no token`, {
    hint: 'Give at least 20 letters and digits, such as: openssl rand -hex 32',
  });
}

function readGiven(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new SlipwayError('mistake', `--admin-token-file ${file} can't be read (${errorCode(error)})`, {
      cause: error,
    });
  }
}

/** Its folder; built from its sources when there is no such build. Without it the API works all the same. */
async function builtDashboard(): Promise<string | null> {
  try {
    const { buildIfMissing } = await import('@slipway/dashboard');
    return await buildIfMissing();
  } catch (error) {
    logLine(`starting without the dashboard: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}
