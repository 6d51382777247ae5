import type { Command } from 'commander';
import { declareServerOptions, runControlPlane, type ServerCommandOptions } from '../control-plane.ts';
import { contextOf } from '../context.ts';

export function define(command: Command): void {
  declareServerOptions(command)
    .addHelpText('after', '\nNeeds DATABASE_URL: a PostgreSQL of your own. Several servers may share one.')
    .action((options: ServerCommandOptions) => runControlPlane(contextOf(command), options, 'all'));
}
