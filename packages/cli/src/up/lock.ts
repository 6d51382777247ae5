import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { linkIfMissing } from '../link-file.ts';
import { identify, isRunning, type ProcessIdentity } from './process-identity.ts';
import { trustedJson } from '../trusted-json.ts';
import { errorCode } from '../error-code.ts';

/**
 * Takes a home for this process. The lock is a file that holds who took it; it appears whole (by `link`), and one whose
 * owner is gone, by kill -9 or with the machine, is taken over.
 *
 * @returns null when it was taken, else who holds it.
 */
export function takeLock(file: string): ProcessIdentity | null {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(identify(process.pid)), { mode: 0o600 });
  try {
    for (;;) {
      if (linkIfMissing(draft, file)) return null;
      const found = readLock(file);
      if (found === null) continue;
      if (found.owner !== null && isRunning(found.owner)) return found.owner;
      setAside(file, found.text);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Gives the home back; nothing happens when another process holds it. */
export function releaseLock(file: string): void {
  if (readLock(file)?.owner?.pid === process.pid) rmSync(file, { force: true });
}

/** Who holds the lock now; null: nobody who still runs. */
export function lockOwner(file: string): ProcessIdentity | null {
  const owner = readLock(file)?.owner ?? null;
  return owner !== null && isRunning(owner) ? owner : null;
}

/** Two may find the same stale lock: the slower one must not take away what the faster one has just put there. */
function setAside(file: string, stale: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  if (readFileSync(aside, 'utf8') !== stale) linkIfMissing(aside, file);
  rmSync(aside);
}

function readLock(file: string): { text: string; owner: ProcessIdentity | null } | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    return { text, owner: trustedJson<ProcessIdentity>(text) };
  } catch {
    return { text, owner: null };
  }
}
