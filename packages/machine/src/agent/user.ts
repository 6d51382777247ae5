import { constants, statSync, type Stats } from 'node:fs';
import { access, chmod, copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { SlipwayError } from '@slipway/app';

/** The unprivileged user that apps and jobs run as; null when the agent is not root and everything runs as its own user. */
export interface AppUser {
  uid: number;
  gid: number;
}

/** `nobody`: exists everywhere and owns nothing. */
export const nobody: AppUser = { uid: 65534, gid: 65534 };

/**
 * The first folder or file on the way to `path` (itself included) that the user can't pass or read; null when it can read `path`.
 * Looks at mode bits, which is what decides for a user without supplementary groups.
 */
export function blockedAt(path: string, user: AppUser): string | null {
  const steps: string[] = [];
  for (let step = resolve(path); ; step = dirname(step)) {
    steps.unshift(step);
    if (step === dirname(step)) break;
  }
  for (const step of steps) {
    let found: Stats;
    try {
      found = statSync(step);
    } catch {
      return step;
    }
    const shift = found.uid === user.uid ? 6 : found.gid === user.gid ? 3 : 0;
    const bits = (found.mode >> shift) & 7;
    const needed = step === resolve(path) ? (found.isDirectory() ? 5 : 4) : 1;
    if ((bits & needed) !== needed) return step;
  }
  return null;
}

/** Makes the agent's folder passable for the app user. @throws {SlipwayError} `mistake` when a folder above it is closed. */
export async function openFolderTo(user: AppUser | null, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
  if (user === null) return;
  await chmod(folder, 0o711);
  const above = dirname(resolve(folder));
  for (let step = above; step !== dirname(step); step = dirname(step)) {
    if ((statSync(step).mode & 0o001) === 0) {
      throw new SlipwayError(
        'mistake',
        `Apps run as the unprivileged user ${user.uid}, which can't get through ${step} (mode ${(statSync(step).mode & 0o777).toString(8)}) to ${folder}.`,
        { hint: `Choose a home that every user can pass, such as /var/lib/slipway, or allow it: chmod o+x ${step}` },
      );
    }
  }
}

/**
 * PATH for apps: the agent's own, and, when no `node` on it can be run by the app user (root's own installation), a last
 * folder with the Node that runs the agent.
 */
export async function pathForApps(user: AppUser | null, folder: string): Promise<string> {
  const path = process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  if (await hasNode(path, user)) return path;
  const bin = join(folder, 'bin');
  await provideNode(bin);
  return `${path}${delimiter}${bin}`;
}

async function hasNode(path: string, user: AppUser | null): Promise<boolean> {
  for (const entry of path.split(delimiter).filter((entry) => entry.startsWith('/'))) {
    const candidate = join(entry, 'node');
    if (user !== null) {
      if (blockedAt(candidate, user) === null) return true;
    } else {
      const runnable = await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (runnable) return true;
    }
  }
  return false;
}

async function provideNode(bin: string): Promise<void> {
  const target = join(bin, 'node');
  const [own, there] = [await stat(process.execPath), await stat(target).catch(() => null)];
  if (there !== null && there.size === own.size && there.mtimeMs >= own.mtimeMs) return;
  await mkdir(bin, { recursive: true, mode: 0o755 });
  const temporary = `${target}.${process.pid}.new`;
  await rm(temporary, { force: true });
  // A link costs nothing; on another file system it has to be a copy.
  await link(process.execPath, temporary).catch(() =>
    copyFile(process.execPath, temporary, constants.COPYFILE_FICLONE),
  );
  await chmod(temporary, 0o755);
  await rename(temporary, target);
}
