import path from 'node:path';
import { command } from './command.ts';
import { ctr, PAUSE_IMAGE } from './containerd.ts';
import { buildImage, withLibraries, type ImageOptions } from './image.ts';

/** Node.js and a shell (busybox): enough for the services and jobs of tests. Every node has it; pods must not pull it. */
export const NODE_IMAGE = 'slipway.test/node:26';

/** @returns The archive. */
export function buildPauseImage(pause: string, folder: string): Promise<string> {
  return buildImage({ name: PAUSE_IMAGE, files: { '/pause': pause }, entrypoint: ['/pause'] }, folder);
}

export async function buildNodeImage(folder: string): Promise<string> {
  return buildImage(await nodeImage(NODE_IMAGE), folder);
}

/** An image with Node.js, a shell and files of its own. */
export async function nodeImage(name: string, files: ImageOptions['files'] = {}): Promise<ImageOptions> {
  const busybox = (await command('sh', ['-c', 'command -v busybox'])).trim();
  return {
    name,
    files: {
      ...(await withLibraries(process.execPath)),
      '/usr/local/bin/node': process.execPath,
      '/bin/busybox': busybox,
      ...Object.fromEntries(APPLETS.map((applet) => [`/bin/${applet}`, { link: 'busybox' }])),
      ...files,
    },
    entrypoint: [],
  };
}

const APPLETS = ['sh', 'cat', 'echo', 'env', 'false', 'hostname', 'id', 'ls', 'nslookup', 'sleep', 'true', 'wget'];

/** Gives an image to containerd. */
export async function importImage(socket: string, archive: string): Promise<void> {
  await ctr(socket, 'images', 'import', path.resolve(archive));
}
