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
    for (const folder of made) await removeFolder(folder);
  });
  const folder = await mkdtemp(path.join(testRunFolder(), 'f-'));
  made.push(folder);
  await chmod(folder, 0o755);
  return folder;
}

/** Deletes a folder whatever is in it, also artifacts, which are sealed. */
export async function removeFolder(folder: string): Promise<void> {
  if (process.getuid?.() !== 0) await promisify(execFile)('chmod', ['-R', 'u+rwX', folder]).catch(() => undefined); // what a process that is ending deletes itself
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}
