import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Makes the folder by which the runner of workers is brought into any image: `node packages/kubernetes/runner-folder.ts FOLDER`. It is
 * `/opt/slipway-runner` of Slipway's own image, and an init container copies it from there.
 *
 * | file | is |
 * | --- | --- |
 * | runner.mjs | the runner, with the packages that it needs |
 * | bin/node   | the Node.js that runs this |
 * | lib/       | the libraries of that Node.js, and its loader as `ld.so` |
 */
export function makeRunnerFolder(folder: string): void {
  const rolldown = join(dirname(fileURLToPath(import.meta.resolve('rolldown/package.json'))), 'bin', 'cli.mjs');
  const input = fileURLToPath(import.meta.resolve('@slipway/queue/runner'));
  // Parts of `pg` that it only uses where they are installed.
  const external = ['--external', 'pg-native', '--external', 'pg-cloudflare'];
  const output = ['--file', join(folder, 'runner.mjs'), '--format', 'esm', '--platform', 'node', '--minify'];
  execFileSync(process.execPath, [rolldown, input, ...external, ...output], { stdio: ['ignore', 'ignore', 'inherit'] });
  const node = realpathSync(process.execPath);
  for (const part of ['bin', 'lib']) mkdirSync(join(folder, part), { recursive: true });
  cpSync(node, join(folder, 'bin', 'node'));
  for (const library of librariesOf(node)) {
    const name = basename(library).startsWith('ld-') ? 'ld.so' : basename(library);
    cpSync(realpathSync(library), join(folder, 'lib', name));
  }
}

/** Paths of the libraries that a program is linked with, and of its loader. */
function librariesOf(program: string): string[] {
  const listing = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...listing.matchAll(/(?:=> )?(\/\S+) \(0x/g)].flatMap(([, library]) => library ?? []);
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('Say where: node packages/kubernetes/runner-folder.ts FOLDER');
  makeRunnerFolder(folder);
}
