import type { Command } from 'commander';
import { contextOf } from '../context.ts';

export function define(command: Command): void {
  command
    .addHelpText(
      'after',
      '\nFor editors: slipway schema > slipway.schema.json, then as the first line of slipway.yaml\n  # yaml-language-server: $schema=slipway.schema.json',
    )
    .action(async () => {
      const { jsonSchema } = await import('@slipway/app');
      const schema = jsonSchema();
      contextOf(command).print(schema, JSON.stringify(schema, null, 2));
    });
}
