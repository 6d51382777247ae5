import type { Command } from 'commander';
import type { ApiProtection } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<app/env>', 'the environment')
    .addHelpText(
      'after',
      '\nTries to delete its namespace in a dry run. Exit code 1 when that would work. To protect an environment: protected: true in slipway.yaml.',
    )
    .action(async (environment: string) => {
      const context = contextOf(command);
      const client = await connect(context);
      const protection = await client.post<ApiProtection>(
        `${environmentPath(environmentTarget(environment))}/protection/verify`,
      );
      context.print(protection, protectionText(environment, protection));
      if (protection.verdict !== 'refused') process.exitCode = 1;
    });
}

function protectionText(environment: string, { declared, namespace, verdict, answer }: ApiProtection): string {
  if (verdict === 'refused')
    return `${environment} is protected: the cluster refuses to delete ${namespace}.\n${answer ?? ''}`;
  return declared
    ? `${environment} is not protected yet: kubectl delete namespace ${namespace} would delete it. slipway why ${environment} tells more.`
    : `${environment} is not protected: kubectl delete namespace ${namespace} would delete it. Say protected: true in slipway.yaml of the default branch.`;
}
