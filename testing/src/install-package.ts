import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const repository = path.join(import.meta.dirname, '..', '..', 'node_modules');

/**
 * Packs a built package and installs it as npm would, without the network: its dependencies are links to those of the repository.
 *
 * @param dist Folder with the package as it would be published.
 * @param project Folder of the program that uses it.
 * @returns The folder of the installed package.
 */
export async function installPackage(dist: string, project: string): Promise<string> {
  const packed = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: dist });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm's documented answer
  const [{ filename, name } = { filename: '', name: '' }] = JSON.parse(packed.stdout) as Record<
    'filename' | 'name',
    string
  >[];
  await run('tar', ['-xzf', path.join(project, filename), '-C', project]);
  const modules = path.join(project, 'node_modules');
  cpSync(path.join(project, 'package'), path.join(modules, name), { recursive: true });
  linkDependencies(path.join(modules, name), modules);
  return path.join(modules, name);
}

/** All of them beside each other, also those of dependencies, as npm lays them out. */
function linkDependencies(folder: string, modules: string): void {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm has read it before us
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    const link = path.join(modules, name);
    const target = path.join(repository, name);
    if (existsSync(link) || !existsSync(target)) continue;
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(target, link);
    linkDependencies(target, modules);
  }
}
