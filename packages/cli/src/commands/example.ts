import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { pushExample } from '../example/push-example.ts';
import { filesOf } from '../home.ts';
import { startProgress } from '../progress.ts';
import { facts } from '../table.ts';
import { environmentName } from '../describe.ts';

/** What `up --example` runs once everything answers, in a process of its own. */
export function define(command: Command): void {
  command.action(async () => {
    const context = contextOf(command);
    const folder = filesOf(context.home).example;
    const progress = startProgress(context.json);
    const environments = await pushExample({
      home: context.home,
      folder,
      entry: context.entry,
      output: context.json ? 'keep' : 'show',
      doing: (text) => {
        // git writes to the terminal itself.
        if (text.startsWith('pushing')) progress.note(text);
        else progress.now(text);
      },
    }).finally(() => progress.end());
    const urls = environments.map((environment): [string, string | null] => [
      environmentName(environment),
      environment.url === null
        ? environment.state
        : `${environment.url}${environment.state === 'asleep' ? '  (asleep; a request wakes it)' : ''}`,
    ]);
    const next = `Change it: cd ${folder}, commit, and git push slipway main (or any branch).`;
    context.print({ environments }, `\nThe example app shop runs.\n\n${facts(urls)}\n\n${next}`);
  });
}
