import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** The package's own folder. */
export const packageFolder = join(import.meta.dirname, '..');

/** File in a build that holds {@link hashOfSources} of what it was built from. */
export const stampFile = 'sources.sha256';

/** SHA-256 (hex) over the name and content of every file that goes into a build. A few milliseconds. */
export function hashOfSources(): string {
  const hash = createHash('sha256');
  const files = readdirSync(join(packageFolder, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(packageFolder, join(entry.parentPath, entry.name)));
  for (const file of ['index.html', 'package.json', 'vite.config.ts', ...files].sort()) {
    const content = readFileSync(join(packageFolder, file));
    hash.update(`${file}\0${content.byteLength}\0`).update(content);
  }
  return hash.digest('hex');
}
