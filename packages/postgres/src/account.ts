import { stat } from 'node:fs/promises';
import path from 'node:path';

/** The user PostgreSQL runs as; null: the user of this process. */
export type Account = { uid: number; gid: number } | null;

const NOBODY = { uid: 65534, gid: 65534 };

/** PostgreSQL refuses to run as root, and looks its user up by name: `nobody` exists everywhere. */
export function chooseAccount(): Account {
  return process.getuid?.() === 0 ? NOBODY : null;
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
