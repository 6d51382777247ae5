import type { Command } from 'commander';
import type { ApiRollout } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { showRollout } from '../follow.ts';
import { environmentPath, environmentTarget, wholeNumber } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV')
    .option('--to <release>', 'number of the release; the one before when left out')
    .option('--no-wait', 'return once the rollout has begun', true)
    .action(async (what: string, options: { to?: string; wait: boolean }) => {
      const context = contextOf(command);
      const target = environmentTarget(what);
      const body = options.to === undefined ? {} : { to: wholeNumber('--to', options.to, 1) };
      const client = await connect(context);
      const rollout = await client.post<ApiRollout>(`${environmentPath(target)}/rollback`, body);
      await showRollout(context, client, rollout, options.wait);
    });
}
