import type { Command } from 'commander';
import type { ApiRollout } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { showRollout } from '../follow.ts';

export function define(command: Command): void {
  command
    .argument('<rollout>', 'id of the rollout, as `status` and `why` show it')
    .option('--no-wait', 'return once it is approved', true)
    .action(async (id: string, options: { wait: boolean }) => {
      const context = contextOf(command);
      const client = await connect(context);
      const rollout = await client.post<ApiRollout>(`/api/rollouts/${encodeURIComponent(id)}/approve`);
      await showRollout(context, client, rollout, options.wait);
    });
}
