import type { Command } from 'commander';
import { declareServerOptions, runControlPlane, type ServerCommandOptions } from '../control-plane.ts';
import { contextOf } from '../context.ts';

export function define(command: Command): void {
  declareServerOptions(command)
    .option(
      '--admin-token-file <file>',
      'file with the token of the administrator (default: one that is made in the home)',
    )
    .option('--in-cluster <json>', 'name and settings of the cluster that this runs in, which becomes an engine')
    .addHelpText(
      'after',
      '\nNeeds DATABASE_URL: a PostgreSQL of your own, which several servers may share. Or `slipway postgres` on the same home.',
    )
    .action((options: ServerCommandOptions) => runControlPlane(contextOf(command), options, 'all'));
}
