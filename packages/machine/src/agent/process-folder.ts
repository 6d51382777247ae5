import { execFile } from 'node:child_process';
import { chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { AppUser } from './user.ts';

const run = promisify(execFile);

/** Where one process keeps its things: `home`, `tmp` and the two FIFOs its output goes through. */
export interface ProcessFolder {
  home: string;
  tmp: string;
  stdout: string;
  stderr: string;
}

export function processFolder(folder: string): ProcessFolder {
  return {
    home: join(folder, 'home'),
    tmp: join(folder, 'tmp'),
    stdout: join(folder, 'stdout'),
    stderr: join(folder, 'stderr'),
  };
}

/** Makes the folder of a process, or leaves the one it had. */
export async function prepareFolder(folder: string, user: AppUser | null): Promise<ProcessFolder> {
  const paths = processFolder(folder);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const own = async (path: string): Promise<void> => {
    if (user !== null) await chown(path, user.uid, user.gid);
  };
  for (const path of [paths.home, paths.tmp]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await own(path);
  }
  const missing: string[] = [];
  for (const path of [paths.stdout, paths.stderr]) {
    const found = await lstat(path).catch(() => null);
    if (found === null) missing.push(path);
  }
  if (missing.length > 0) {
    await run('mkfifo', ['-m', '600', ...missing]);
    for (const path of missing) await own(path);
  }
  return paths;
}
