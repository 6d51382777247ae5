import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { localAddress, savedLogin } from '../client.ts';
import { contextOf } from '../context.ts';

/**
 * Answers git's credential protocol (gitcredentials(7)) with the token of this home, only for this home's server. So a
 * person pushes without typing a token, and it stands in no URL and no config file.
 */
export function define(command: Command): void {
  command.argument('<operation>', 'get; store and erase do nothing').action(async (operation: string) => {
    if (operation !== 'get') return;
    const asked = new Map(
      (await text(process.stdin)).split('\n').map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]),
    );
    const { home } = contextOf(command);
    const origin = `${asked.get('protocol')}://${asked.get('host')}`;
    const login = await savedLogin(home);
    const address = login !== null && new URL(login.url).origin === origin ? login : await localAddress(home);
    if (new URL(address.url).origin !== origin) return;
    process.stdout.write(`username=slipway\npassword=${address.token}\n`);
  });
}
