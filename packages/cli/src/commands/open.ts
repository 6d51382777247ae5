import { spawn } from 'node:child_process';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { ApiEnvironment } from '../api.ts';
import { connect, serverAddress } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command.argument('[environment]', 'APP/ENV; the dashboard when left out').action(async (what: string | undefined) => {
    const context = contextOf(command);
    if (what === undefined) {
      const { url, token } = await serverAddress(context.home);
      context.print({ url }, url);
      openInBrowser(`${url}/#token=${token}`);
      return;
    }
    const client = await connect(context);
    const environment = await client.get<ApiEnvironment>(environmentPath(environmentTarget(what)));
    if (environment.url === null) {
      throw new SlipwayError('conflict', `${what} has no public address (it is ${environment.state})`, {
        hint: `A service with a route gets one once a release is ready. See: slipway why ${what}`,
      });
    }
    context.print({ url: environment.url }, environment.url);
    openInBrowser(environment.url);
  });
}

/** Asks the desktop to show it. Without a desktop nothing happens: the address was printed. */
function openInBrowser(url: string): void {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(program, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
