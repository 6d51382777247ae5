import type { Command } from 'commander';
import type { ApiDifference } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<app/env>', 'the environment')
    .option('--commit <sha>', 'the commit, or a branch (default: what runs there, so that only edits by hand differ)')
    .addHelpText(
      'after',
      '\nThe cluster itself is asked, in a dry run; nothing is written. Values of secrets are not shown.',
    )
    .action(async (environment: string, options: { commit?: string }) => {
      const context = contextOf(command);
      const client = await connect(context);
      const query =
        options.commit === undefined ? '' : `?${new URLSearchParams({ commit: options.commit }).toString()}`;
      const difference = await client.get<ApiDifference>(
        `${environmentPath(environmentTarget(environment))}/diff${query}`,
      );
      context.print(difference, differenceText(difference));
    });
}

const signs = { created: '+', changed: '~', deleted: '-' } as const;

function differenceText({ commit, changes }: ApiDifference): string {
  if (changes.length === 0) return `Nothing would change with ${commit.slice(0, 8)}.`;
  return changes
    .flatMap(({ change, kind, name, fields }) => [
      `${signs[change]} ${kind} ${name}`,
      ...fields.map(({ path, before, after }) => `    ${path}: ${before ?? '(nothing)'} -> ${after ?? '(nothing)'}`),
    ])
    .join('\n');
}
