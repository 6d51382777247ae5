import { readFileSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from './thrown.ts';

let sequence = 0;

/**
 * Replaces a file as a whole: whoever reads sees the old text or the new one, never half. Mode 0600, since plans hold secrets.
 *
 * @param durability `power-loss`: on the disk before this resolves. `process`: survives the end of this process (it is in the
 *   kernel's cache), which is enough for facts about processes, since they do not outlive a power loss either.
 */
export async function writeWhole(path: string, text: string, durability: 'power-loss' | 'process'): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.${(sequence += 1)}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      if (durability === 'power-loss') await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (durability === 'power-loss') await syncFolder(dirname(path));
}

/** A rename is only durable once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** What this agent (or one before it) wrote with {@link writeWhole}. @returns `missing` when the file is not there, or is not whole JSON (a machine that lost power may leave an empty one). */
export function readJson<T>(path: string, missing: T): T {
  try {
    const value: T = JSON.parse(readFileSync(path, 'utf8'));
    return value;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return missing;
    throw error;
  }
}

/** True for the errors of a disk (or quota) that is full. */
export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}
