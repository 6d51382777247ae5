import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What is published beside the program file. */
export type Bundled = 'dashboard' | 'example';

/** Folder of something that was published with the program; null when it runs from the repository. */
export function bundledFolder(entry: string, what: Bundled): string | null {
  const folder = join(dirname(entry), what);
  return existsSync(folder) ? folder : null;
}
