import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { atEndOfTest } from './at-end-of-test.ts';
import { testRunFolder } from './test-run.ts';

/** A new empty folder that other users may read (0755). Removed at the end of the test, or at the latest of the run. */
export async function temporaryFolder(): Promise<string> {
  const made: string[] = [];
  atEndOfTest(async () => {
    for (const folder of made) await remove(folder);
  });
  const folder = await mkdtemp(path.join(testRunFolder(), 'f-'));
  made.push(folder);
  await chmod(folder, 0o755);
  return folder;
}

async function remove(folder: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 };
  await rm(folder, options).catch(async () => {
    await promisify(execFile)('chmod', ['-R', 'u+rwX', folder]); // sealed folders
    await rm(folder, options);
  });
}
