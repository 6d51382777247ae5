import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { ApiLogLine } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { timeText } from '../describe.ts';
import { environmentPath, environmentTarget, wholeNumber } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV')
    .argument('[service]', 'only this service, worker or job')
    .option('-f, --follow', 'go on with what is written from now on')
    .option('--lines <n>', 'how many past lines at most', '200')
    .action(async (what: string, source: string | undefined, options: { follow?: boolean; lines: string }) => {
      const context = contextOf(command);
      const target = environmentTarget(what);
      const query = new URLSearchParams({ lines: String(wholeNumber('--lines', options.lines, 0, 100_000)) });
      if (source !== undefined) query.set('source', source);
      if (options.follow === true) query.set('follow', 'true');
      const client = await connect(context);
      for await (const line of client.lines<ApiLogLine>('GET', `${environmentPath(target)}/logs?${query.toString()}`)) {
        context.print(line, logText(line));
      }
    });
}

function logText(line: ApiLogLine): string {
  const stream = process.stdout;
  const label = line.release === null ? line.source : `${line.source} ${line.release}`;
  const text = line.stream === 'stderr' ? styleText('yellow', line.line, { stream }) : line.line;
  return `${styleText('gray', timeText(line.at), { stream })} ${styleText('cyan', label, { stream })}  ${text}`;
}
