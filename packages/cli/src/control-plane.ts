import { join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { filesOf } from './home.ts';
import { wholeNumber } from './target.ts';
import { logLine } from './log-line.ts';
import { prepareHome } from './up/folders.ts';
import { version } from './version.ts';

export interface ServerCommandOptions {
  host: string;
  port: string;
  routerPort: string;
  domain?: string;
}

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
  const databaseUrl = process.env['DATABASE_URL'] ?? '';
  if (databaseUrl === '') {
    throw new SlipwayError('mistake', 'DATABASE_URL is not set', {
      hint: 'Set it to a PostgreSQL of yours (postgres://USER:PASSWORD@HOST/DATABASE), or run everything at once: slipway up',
    });
  }
  const port = wholeNumber('--port', options.port, 0, 65_535);
  const routerPort = wholeNumber('--router-port', options.routerPort, 1, 65_535);
  const { data } = prepareHome(context.home);
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
    adminTokenFile: filesOf(context.home).token,
    role,
    version,
    log: logLine,
    ...(dashboard === null ? {} : { dashboardFolder: dashboard }),
    ...(options.domain === undefined ? {} : { domain: options.domain }),
  });
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
