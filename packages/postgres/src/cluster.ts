import { randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import { chmod, chown, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { errorCode } from './error-code.ts';
import { explainFailure } from './failure.ts';
import type { Durability } from './settings.ts';

export const SUPERUSER = 'slipway';

/** Makes `folder` with this mode and owner, or sets both on the one there is. */
export async function ensureFolder(folder: string, mode: number, owner: Account): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, mode);
  if (owner !== null) await chown(folder, owner.uid, owner.gid);
}

/** The superuser's password: generated once, readable by this process's user only. Safe when two processes start at once. */
export async function ensurePassword(file: string): Promise<string> {
  const known = await readFile(file, 'utf8').catch(() => null);
  if (known !== null) return known.trim();
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, randomBytes(24).toString('base64url'), { mode: 0o600 });
  await link(draft, file).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
  });
  await rm(draft);
  return (await readFile(file, 'utf8')).trim();
}

/**
 * Runs initdb unless `data` exists already. It works in a folder beside and renames it when it is whole, so that being
 * killed half-way leaves nothing that looks like a database.
 *
 * @throws {Error} with what to do, when initdb fails.
 */
export async function ensureCluster(
  data: string,
  options: { account: Account; binaries: Binaries; password: string; durable: Durability },
): Promise<void> {
  if ((await stat(path.join(data, 'PG_VERSION')).catch(() => null)) !== null) return;
  const folder = path.dirname(data);
  await removeAbandoned(folder);

  const draft = path.join(folder, `data-new-${process.pid}`);
  const passwordFile = path.join(folder, `data-new-password-${process.pid}`);
  const { account } = options;
  try {
    await ensureFolder(draft, 0o700, account);
    await writeFile(passwordFile, options.password, { mode: 0o600 });
    if (account !== null) await chown(passwordFile, account.uid, account.gid);
    await promisify(execFile)(options.binaries.initdb, initdbArguments(draft, passwordFile, options.durable), {
      cwd: draft,
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      ...account,
    });
    await rename(draft, data);
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) return; // another process was faster
    const output = `${String(error)}\n${error instanceof Error && 'stderr' in error ? String(error.stderr) : ''}`;
    throw new Error(explainFailure('PostgreSQL could not create its database', output, 'none'), { cause: error });
  } finally {
    await rm(passwordFile, { force: true });
    await rm(draft, { recursive: true, force: true });
  }
}

function initdbArguments(data: string, passwordFile: string, durable: Durability): string[] {
  const settings: Record<string, string> = {
    pgdata: data,
    username: SUPERUSER,
    pwfile: passwordFile,
    auth: 'scram-sha-256',
    encoding: 'UTF8',
    // The same order of texts on every machine, whatever its C library.
    locale: 'C',
    'locale-provider': 'builtin',
    'builtin-locale': 'C.UTF-8',
  };
  const flags = durable === 'no' ? ['--no-instructions', '--no-sync'] : ['--no-instructions'];
  return [...Object.entries(settings).map(([name, value]) => `--${name}=${value}`), ...flags];
}

/** Removes what processes left that were killed while they ran initdb. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const owner = /^data-new-(?:password-)?(\d+)$/.exec(name)?.[1];
    if (owner === undefined) continue;
    // Our own number: in a container every process that is started again has the one of its predecessor.
    if (Number(owner) !== process.pid && isAlive(Number(owner))) continue;
    // Their initdb may still be writing: it ends when it finds its files gone.
    await rm(path.join(folder, name), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

/** Whether a process with this id exists (also one that we may not signal). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}
