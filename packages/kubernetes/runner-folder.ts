import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

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
export async function makeRunnerFolder(folder: string): Promise<void> {
  await build({
    input: fileURLToPath(import.meta.resolve('@slipway/queue/runner')),
    platform: 'node',
    // Optional parts of packages that the runner does not use.
    external: ['pg-native', 'pg-cloudflare'],
    output: { file: join(folder, 'runner.mjs'), format: 'esm', minify: { compress: true, mangle: false } },
    logLevel: 'warn',
  });
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
  await makeRunnerFolder(folder);
}
