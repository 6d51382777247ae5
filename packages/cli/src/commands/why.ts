import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { ApiWhy } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { timeText } from '../describe.ts';

export function define(command: Command): void {
  command
    .argument('<thing>', 'an app, an environment (APP/ENV), a commit or a rollout')
    .action(async (thing: string) => {
      const context = contextOf(command);
      const client = await connect(context);
      const why = await client.get<ApiWhy>(`/api/why?${new URLSearchParams({ thing }).toString()}`);
      context.print(why, timeline(why));
    });
}

function timeline(why: ApiWhy): string {
  const stream = process.stdout;
  const lines = why.timeline.flatMap((entry) => {
    const mark = entry.kind === 'awaited' ? styleText('yellow', 'awaited since', { stream }) : '';
    const head = [styleText('gray', timeText(entry.at), { stream }), mark, entry.message];
    const line = `  ${head.filter((part) => part !== '').join('  ')}`;
    return entry.unblock === null
      ? [line]
      : [line, `            ${styleText('bold', 'to go on:', { stream })} ${entry.unblock}`];
  });
  return [`${styleText('bold', why.subject, { stream })}: ${why.summary}`, ...lines].join('\n');
}
