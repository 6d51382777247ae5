import path from 'node:path';
import { openFolder } from './folder.ts';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found } from './proposal.ts';

/** A page without a server of its own. */
export async function recogniseStaticSite(folder: Folder): Promise<Found | null> {
  const places = ['.', ...['public', 'dist', 'site', 'www'].filter((name) => folder.folders.includes(name))];
  for (const place of places) {
    const inner = place === '.' ? folder : await openFolder(path.join(folder.path, place));
    if (!inner.files.has('index.html')) continue;
    const run = `exec python3 -m http.server $PORT --directory ${place}`;
    return found('a static site (index.html)', {
      services: [{ name: 'web', run, comment: 'Serves the files as they are; any static file server will do.' }],
      notes: ['The static site is served by Python: the machine needs python3.'],
    });
  }
  return null;
}
