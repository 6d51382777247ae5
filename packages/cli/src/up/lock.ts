import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errorCode } from '../error-code.ts';
import { linkIfMissing } from '../link-file.ts';
import { trustedJson } from '../trusted-json.ts';
import { identify, isRunning, type ProcessIdentity } from './process-identity.ts';

/**
 * Who has a home. Each taking is a file of its own, `up.lock.1`, `up.lock.2` and so on, that holds who took it; the one
 * with the highest number counts, while its owner runs. It appears whole and once (by `link`), and numbers only grow, so
 * that nobody who looks late can take a home from somebody who was faster: there is no moment without the newest file.
 */

/**
 * Takes a home for this process. One whose owner is gone, by kill -9 or with the machine, is taken over.
 *
 * @param file The path without its number.
 * @returns null when it was taken, else who holds it.
 */
export function takeLock(file: string): ProcessIdentity | null {
  const draft = writeDraft(file, identify(process.pid));
  try {
    for (;;) {
      const last = takings(file).at(-1) ?? 0;
      const owner = ownerOf(file, last);
      if (owner !== null && isRunning(owner)) return owner;
      const own = last + 1;
      if (!linkIfMissing(draft, `${file}.${own}`)) continue;
      const all = takings(file);
      // This number was free because others had gone past it, and had cleaned up, between our look and our link.
      if (all.at(-1) !== own) rmSync(`${file}.${own}`, { force: true });
      else {
        for (const older of all.slice(0, -1)) rmSync(`${file}.${older}`, { force: true });
        return null;
      }
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Gives the home back; nothing happens when another process holds it. Its file stays, without an owner. */
export function releaseLock(file: string): void {
  const last = takings(file).at(-1) ?? 0;
  if (ownerOf(file, last)?.pid === process.pid) renameSync(writeDraft(file, null), `${file}.${last}`);
}

/** Who holds the lock now; null: nobody who still runs. */
export function lockOwner(file: string): ProcessIdentity | null {
  const owner = ownerOf(file, takings(file).at(-1) ?? 0);
  return owner !== null && isRunning(owner) ? owner : null;
}

function writeDraft(file: string, owner: ProcessIdentity | null): string {
  const draft = `${file}.draft-${process.pid}`;
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 });
  return draft;
}

/** Ascending. */
function takings(file: string): number[] {
  if (!existsSync(dirname(file))) return [];
  const beginning = `${basename(file)}.`;
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(beginning) && /^\d+$/.test(name.slice(beginning.length)))
    .map((name) => Number(name.slice(beginning.length)))
    .sort((a, b) => a - b);
}

/** null: it was given back, is damaged, or is not there (any more). */
function ownerOf(file: string, taking: number): ProcessIdentity | null {
  try {
    return trustedJson<ProcessIdentity | null>(readFileSync(`${file}.${taking}`, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
