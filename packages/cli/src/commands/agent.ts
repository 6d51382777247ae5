import { join } from 'node:path';
import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { logLine } from '../log-line.ts';
import { wholeNumber } from '../target.ts';
import { prepareHome } from '../up/folders.ts';

interface AgentOptions {
  routerHost: string;
  routerPort: string;
  domain: string;
}

export function define(command: Command): void {
  command
    .option('--router-host <address>', 'that the router listens on', '127.0.0.1')
    .option('--router-port <port>', 'where environments are reached', '7380')
    .option('--domain <name>', 'environments are ENVIRONMENT.APP.<name>', 'localhost')
    .action(async (options: AgentOptions) => {
      const context = contextOf(command);
      const routerPort = wholeNumber('--router-port', options.routerPort, 0, 65_535);
      const { data } = prepareHome(context.home);
      const { runAgent } = await import('@slipway/machine');
      await runAgent({
        folder: join(data, 'agent'),
        routerHost: options.routerHost,
        routerPort,
        domain: options.domain,
        runner: [process.execPath, context.entry, 'runner'],
        log: logLine,
      });
    });
}
