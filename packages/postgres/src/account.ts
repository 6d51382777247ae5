import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

/** The user PostgreSQL runs as; null: the user of this process. */
export type Account = { uid: number; gid: number } | null;

const NOBODY = { uid: 65534, gid: 65534 };

/**
 * PostgreSQL refuses to run as root, and initdb looks its user up by name, so it has to be one that exists everywhere.
 * `daemon`, and not `nobody`: that is whom apps run as, and they must neither read the data nor signal the processes. Data
 * that exists stays with its owner.
 */
export async function chooseAccount(data: string): Promise<Account> {
  if (process.getuid?.() !== 0) return null;
  const owner = await stat(data).catch(() => null);
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const daemon = /^daemon:[^:]*:(\d+):(\d+):/m.exec(users);
  return daemon === null ? NOBODY : { uid: Number(daemon[1]), gid: Number(daemon[2]) };
}

/**
 * The topmost folder on the way to `target` (itself included) that `account` may not enter; null when it gets there.
 * Folders that do not exist yet are ours to make and block nothing.
 */
export async function findBlockingFolder(target: string, account: Account): Promise<string | null> {
  if (account === null) return null;
  const parts = path.resolve(target).split(path.sep).filter(Boolean);
  for (let depth = 0; depth <= parts.length; depth++) {
    const folder = path.sep + parts.slice(0, depth).join(path.sep);
    const info = await stat(folder).catch(() => null);
    if (info === null) return null;
    const enter = info.uid === account.uid ? 0o100 : info.gid === account.gid ? 0o010 : 0o001;
    if ((info.mode & enter) === 0) return folder;
  }
  return null;
}
