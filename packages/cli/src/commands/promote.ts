import type { Command } from 'commander';
import type { ApiRollout } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { showRollout } from '../follow.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV that releases go to, e.g. shop/production')
    .option('--no-wait', 'return once the rollout has begun', true)
    .action(async (what: string, options: { wait: boolean }) => {
      const context = contextOf(command);
      const target = environmentTarget(what);
      const client = await connect(context);
      const rollout = await client.post<ApiRollout>(`${environmentPath(target)}/promote`, {});
      await showRollout(context, client, rollout, options.wait);
    });
}
