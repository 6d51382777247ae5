import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Swept {
  removed: number;
  /** Leftovers that are too young to tell whether their git is gone. */
  spared: number;
}

/**
 * Removes what a killed git leaves behind: locks, which would refuse each later push ("File exists"), and half a pack.
 * Git holds a lock for milliseconds, so an old one has no owner. The caller sees to it that no push of ours runs.
 *
 * @param now Milliseconds since 1970; what is younger than `minimumAge` milliseconds is spared.
 */
export async function sweep(repository: string, minimumAge: number, now: number): Promise<Swept> {
  const leftovers = [
    ...(await entries(repository, /^(HEAD|config|packed-refs|shallow)\.(lock|new)$/)),
    ...(await entries(join(repository, 'objects'), /^(tmp_objdir-)?incoming-|^tmp_objdir-/)),
    ...(await locksBelow(join(repository, 'refs'))),
  ];
  const swept: Swept = { removed: 0, spared: 0 };
  for (const path of leftovers) {
    const found = await stat(path).catch(() => null);
    if (found === null) continue;
    if (now - found.mtimeMs < minimumAge) {
      swept.spared++;
      continue;
    }
    await rm(path, { recursive: true, force: true });
    swept.removed++;
  }
  return swept;
}

async function entries(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

/** No ref can end in `.lock` (git-check-ref-format(1), rule 1). */
async function locksBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('.lock')).map((name) => join(folder, name));
}
