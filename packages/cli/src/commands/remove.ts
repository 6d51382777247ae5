import type { Command } from 'commander';
import type { ApiEnvironment } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV')
    .option('--confirm <name>', 'the environment’s name again, for a protected one')
    .action(async (what: string, options: { confirm?: string }) => {
      const context = contextOf(command);
      const target = environmentTarget(what);
      const query =
        options.confirm === undefined ? '' : `?${new URLSearchParams({ confirm: options.confirm }).toString()}`;
      const client = await connect(context);
      const environment = await client.delete<ApiEnvironment>(`${environmentPath(target)}${query}`);
      context.print(environment, `${what} is being removed. How far it is: slipway events ${what}`);
    });
}
