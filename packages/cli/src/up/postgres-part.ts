import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import { EmbeddedPostgres } from '@slipway/postgres';
import type { Part, RunningPart } from './part.ts';
import { endProcess, identify } from './process-identity.ts';
import type { PartRecord } from './state.ts';

export interface PostgresPartOptions {
  folder: string;
  /** Where people look for its log; the log itself lies beside the data. */
  log: string;
  record: { read: () => PartRecord | undefined; write: (record: PartRecord) => void };
}

const STOP_SECONDS = 20;

/** The embedded PostgreSQL. It outlives this process, and is found again by its own files. */
export function postgresPart(options: PostgresPartOptions): Part & { url: () => string } {
  const postgres = new EmbeddedPostgres({ folder: options.folder });
  return {
    title: 'PostgreSQL',
    url: () => postgres.url,

    async start(): Promise<RunningPart> {
      try {
        await postgres.start();
      } catch (error) {
        throw new SlipwayError('transient', error instanceof Error ? error.message : String(error), { cause: error });
      }
      const adopted = options.record.read()?.pid === postgres.pid;
      linkLog(join(options.folder, 'postgres.log'), options.log);
      options.record.write({ ...identify(postgres.pid), start: '' });
      return { how: adopted ? 'adopted' : 'started', ended: postgres.exited.then(() => 'ended') };
    },

    async stop(): Promise<void> {
      await postgres.stop();
      // Found by `down` after the supervisor was killed: SIGINT is PostgreSQL's fast shutdown.
      const found = options.record.read();
      if (found !== undefined) await endProcess(found, 'SIGINT', STOP_SECONDS);
    },
  };
}

function linkLog(file: string, link: string): void {
  rmSync(link, { force: true });
  symlinkSync(file, link);
}
