import { SlipwayError } from '@slipway/app/errors';
import { Option, type Command } from 'commander';
import type { ApiCreatedToken, ApiToken } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { timeText } from '../describe.ts';
import { table } from '../table.ts';

export function define(command: Command): void {
  // Each of them reads the options of its parents too, so the same context serves all.
  command
    .command('create')
    .description('create a token; it is shown once')
    .argument('<name>', 'who or what it is for')
    .addOption(
      new Option('--role <role>', 'viewer: look; deployer: also deploy; admin: everything')
        .choices(['viewer', 'deployer', 'admin'])
        .makeOptionMandatory(),
    )
    .copyInheritedSettings(command)
    .action(async (name: string, options: { role: string }) => {
      const context = contextOf(command);
      const client = await connect(context);
      const created = await client.post<ApiCreatedToken>('/api/tokens', { name, role: options.role });
      if (!context.json)
        process.stderr.write(`Token ${created.id} for ${name} (${created.role}); keep it, it is not shown again:\n`);
      context.print(created, created.token);
    });
  command
    .command('list')
    .description('list tokens')
    .copyInheritedSettings(command)
    .action(async () => {
      const context = contextOf(command);
      const client = await connect(context);
      const answer = await client.get<{ tokens: ApiToken[] }>('/api/tokens');
      context.print(answer, tokenTable(answer.tokens));
    });
  command
    .command('revoke')
    .description('end a token')
    .argument('<id>', 'its id, as `token list` shows it')
    .copyInheritedSettings(command)
    .action(async (id: string) => {
      const context = contextOf(command);
      const client = await connect(context);
      await client.delete<void>(`/api/tokens/${encodeURIComponent(id)}`);
      context.print({ id, revoked: true }, `Token ${id} is revoked.`);
    });
  command.action((_, self: Command) => {
    throw new SlipwayError(
      'mistake',
      self.args[0] === undefined ? 'token needs to know what to do' : `token can't '${self.args[0]}'`,
      {
        hint: 'Use: slipway token create NAME --role ROLE, slipway token list, slipway token revoke ID',
      },
    );
  });
  command.allowExcessArguments();
}

function tokenTable(tokens: ApiToken[]): string {
  return table(
    ['ID', 'NAME', 'ROLE', 'CREATED', 'LAST USED', 'STATE'],
    tokens.map((token) => [
      token.id,
      token.name,
      token.role,
      timeText(token.createdAt),
      token.lastUsedAt === null ? 'never' : timeText(token.lastUsedAt),
      token.revokedAt === null ? 'valid' : `revoked ${timeText(token.revokedAt)}`,
    ]),
  );
}
