import { shellWord } from './folder.ts';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found } from './proposal.ts';

/** Only a Dockerfile: its last stage tells the command and the port. What its RUN lines install is not there without it. */
export async function recogniseDockerfile(folder: Folder): Promise<Found | null> {
  if (!folder.files.has('Dockerfile')) return null;
  const lines = (await folder.read('Dockerfile')).replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/);
  let entrypoint: string | null = null;
  let command: string | null = null;
  let port: number | null = null;
  for (const line of lines) {
    const match = /^\s*(FROM|CMD|ENTRYPOINT|EXPOSE)\s+(.+?)\s*$/i.exec(line);
    const value = match?.[2] ?? '';
    const keyword = match?.[1]?.toUpperCase();
    if (keyword === 'FROM') entrypoint = command = port = null;
    else if (keyword === 'CMD') command = commandOf(value);
    else if (keyword === 'ENTRYPOINT') entrypoint = commandOf(value);
    else if (keyword === 'EXPOSE') port ??= portOf(value);
  }
  const run = [entrypoint, command].filter((part) => part !== null).join(' ');
  if (run === '')
    return found('Dockerfile', { notes: ['The Dockerfile has no CMD that could be read: write the command to run.'] });
  return found('Dockerfile', {
    services: [
      {
        name: 'web',
        run,
        comment: 'From the Dockerfile; it has to listen on $PORT.',
        ...(port === null ? {} : { port }),
      },
    ],
    notes: [
      'Without Kubernetes the command runs in the checkout, not in a container: give a build command that does what the RUN lines of the Dockerfile do.',
      'On Kubernetes give "image".',
    ],
  });
}

/** `["node", "web.js"]` or `node web.js`. */
function commandOf(value: string): string {
  if (!value.startsWith('[')) return value;
  try {
    const words: unknown = JSON.parse(value);
    return Array.isArray(words) ? words.map((word) => shellWord(String(word))).join(' ') : value;
  } catch {
    return value;
  }
}

function portOf(value: string): number | null {
  const port = Number(/^\d+/.exec(value)?.[0]);
  return port >= 1 && port <= 65_535 ? port : null;
}
