import type { Command } from 'commander';
import type { ApiEvent } from '../api.ts';
import { connect, type Client } from '../client.ts';
import { contextOf, type Context } from '../context.ts';
import { eventLine } from '../describe.ts';
import { appOrEnvironment, pathOf, wholeNumber } from '../target.ts';
import { trustedJson } from '../trusted-json.ts';

export function define(command: Command): void {
  command
    .argument('[what]', 'APP or APP/ENV; everything when left out')
    .option('-f, --follow', 'go on with what happens from now on')
    .option('--limit <n>', 'how many past events at most', '100')
    .action(async (what: string | undefined, options: { follow?: boolean; limit: string }) => {
      const context = contextOf(command);
      const query = new URLSearchParams();
      if (what !== undefined) {
        const { app, environment } = appOrEnvironment(what);
        query.set('app', app);
        if (environment !== null) query.set('environment', environment);
      }
      const limit = String(wholeNumber('--limit', options.limit, 1, 1000));
      const client = await connect(context);
      const past = await client.get<{ events: ApiEvent[] }>(
        `/api/events?${new URLSearchParams([...query, ['limit', limit]]).toString()}`,
      );
      // Of an environment that was removed there are events still; of a name that was mistyped there are none.
      if (past.events.length === 0 && what !== undefined) await client.get(pathOf(appOrEnvironment(what)));
      if (options.follow !== true) {
        const text = past.events.map((event) => eventLine(event)).join('\n');
        context.print(past, text === '' ? 'Nothing has happened yet.' : text);
        return;
      }
      for (const event of past.events) context.print(event, eventLine(event));
      await followEvents(context, client, query, past.events.at(-1)?.id ?? 0);
    });
}

/** Prints events after the one with this id, until the connection ends. With `--json` one event a line. */
async function followEvents(context: Context, client: Client, query: URLSearchParams, after: number): Promise<void> {
  for await (const message of client.stream(`/api/stream?${query.toString()}`, { after: String(after) })) {
    if (message.event !== 'event') continue;
    const event = trustedJson<ApiEvent>(message.data);
    context.print(event, eventLine(event));
  }
  process.stderr.write('slipway: the control plane ended the stream. Run the command again to go on.\n');
  process.exitCode = 1;
}
