import { EmbeddedPostgres } from '@slipway/postgres';
import { atEndOfTest } from './at-end-of-test.ts';
import { temporaryFolder } from './folder.ts';

/** A started PostgreSQL of the test's own, to be stopped, killed and started again. Ends with the test. */
export async function ownPostgres(): Promise<EmbeddedPostgres> {
  const started: EmbeddedPostgres[] = [];
  // The folder is asked for first, so that it is removed last.
  const folder = temporaryFolder();
  atEndOfTest(async () => {
    for (const postgres of started) await postgres.stop();
  });
  const postgres = new EmbeddedPostgres({ folder: await folder, durable: 'no' });
  started.push(postgres);
  await postgres.start();
  return postgres;
}
