import { join } from 'node:path';
import { messageOf, SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import { contextOf } from '../context.ts';
import { logLine } from '../log-line.ts';
import { prepareHome } from '../up/folders.ts';
import { capLog } from '../up/log-file.ts';

const CAP_LOG_MILLISECONDS = 30_000;

export function define(command: Command): void {
  command
    .addHelpText('after', '\nA `slipway server` on the same home finds it when DATABASE_URL is not set.')
    .action(async () => {
      const folder = join(prepareHome(contextOf(command).home).data, 'postgres');
      const { EmbeddedPostgres } = await import('@slipway/postgres');
      const postgres = new EmbeddedPostgres({ folder, log: logLine });
      // Heard of from the start, so that an end in the middle of it leaves no PostgreSQL behind.
      const asked = new Promise<null>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(null));
      });
      await postgres.start().catch((error: unknown) => {
        throw new SlipwayError('transient', messageOf(error), { cause: error });
      });
      const capping = setInterval(() => capLog(join(folder, 'postgres.log')), CAP_LOG_MILLISECONDS);
      const ended = await Promise.race([asked, postgres.exited]);
      clearInterval(capping);
      // Whoever keeps this process running starts it again, and that recovers.
      if (ended !== null) throw new SlipwayError('transient', ended.message);
      await postgres.stop();
    });
}
