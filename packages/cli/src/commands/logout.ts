import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { filesOf } from '../home.ts';

export function define(command: Command): void {
  command.action(() => {
    const context = contextOf(command);
    rmSync(filesOf(context.home).login, { force: true });
    context.print({ loggedOut: true }, 'Logged out. Commands talk to the Slipway on this machine again.');
  });
}
