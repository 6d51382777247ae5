import type { Command } from 'commander';
import type { ApiRelease } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { shortCommit, timeText } from '../describe.ts';
import { table } from '../table.ts';
import { appOrEnvironment, wholeNumber } from '../target.ts';

export function define(command: Command): void {
  command
    .argument('<app>', 'APP or APP/ENV')
    .option('--limit <n>', 'how many at most', '20')
    .action(async (what: string, options: { limit: string }) => {
      const context = contextOf(command);
      const { app, environment } = appOrEnvironment(what);
      const query = new URLSearchParams({ limit: String(wholeNumber('--limit', options.limit, 1, 1000)) });
      if (environment !== null) query.set('environment', environment);
      const client = await connect(context);
      const answer = await client.get<{ releases: ApiRelease[] }>(
        `/api/apps/${encodeURIComponent(app)}/releases?${query.toString()}`,
      );
      context.print(answer, releaseTable(answer.releases));
    });
}

function releaseTable(releases: ApiRelease[]): string {
  if (releases.length === 0) return 'No releases yet: the first push whose checks pass makes one.';
  return table(
    ['RELEASE', 'ENVIRONMENT', 'COMMIT', 'WHEN', 'BY', 'SUBJECT'],
    releases.map((release) => [
      `${release.number}${release.current ? ' *' : ''}`,
      release.environment,
      shortCommit(release.commit),
      timeText(release.createdAt),
      release.author,
      release.subject,
    ]),
  );
}
