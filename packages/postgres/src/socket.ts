import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Account } from './account.ts';
import { ensureFolder } from './cluster.ts';

/** The kernel's limit for the path of a unix socket (sun_path, less its final zero; macOS has 104). */
const LONGEST_SOCKET_PATH = process.platform === 'darwin' ? 103 : 107;

/**
 * Makes the private folder for PostgreSQL's unix socket: inside `folder`, or, where that path would be too long, a folder
 * of the temporary folder whose name follows from `folder`.
 */
export async function ensureSocketFolder(folder: string, account: Account): Promise<string> {
  const short = socketFolderOf(folder);
  if (path.dirname(short) === path.resolve(folder)) {
    await ensureFolder(short, 0o700, account);
    return short;
  }
  const owner = account?.uid ?? process.getuid?.() ?? 0;
  const existing = await lstat(short).catch(() => null);
  // The temporary folder is everybody's: a folder that somebody else put there could catch our password.
  if (existing !== null && (!existing.isDirectory() || existing.uid !== owner)) {
    throw new Error(
      `PostgreSQL needs the folder ${short} for its socket, but somebody else made it. Remove it, or use a shorter data folder than ${folder}.`,
    );
  }
  await ensureFolder(short, 0o700, account);
  return short;
}

/** Where the socket of the PostgreSQL in `folder` is, whether it runs or not. */
export function socketFolderOf(folder: string): string {
  const inside = path.resolve(folder, 'socket');
  if (Buffer.byteLength(path.join(inside, '.s.PGSQL.65535')) <= LONGEST_SOCKET_PATH) return inside;
  const name = createHash('sha256').update(path.resolve(folder)).digest('hex').slice(0, 16);
  return path.join(os.tmpdir(), `slipway-${name}`);
}
