import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/**
 * Puts together what is in the image of Slipway below /opt/slipway, for the Dockerfile and for the image of the test cluster alike:
 * `node packages/cli/stage-image.ts FOLDER`. It takes what is published (`rolldown.config.ts`), the packages that this needs to run, in the versions
 * that `npm ci` has installed here, and a command for the PATH.
 */

const root = resolve(import.meta.dirname, '..', '..');

interface Manifest {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** Small heaps, as for `slipway up`. The first process of a container has to wait for those whose parents have ended; Node doesn't. */
const COMMAND = `#!/bin/sh
main=$(dirname -- "$(readlink -f -- "$0")")/../packages/cli/src/main.js
set -- node --max-semi-space-size=1 --disable-warning=ExperimentalWarning "$main" "$@"
[ $$ = 1 ] && command -v tini >/dev/null && exec tini -- "$@"
exec "$@"
`;

const [target] = process.argv.slice(2);
if (target === undefined) {
  process.stderr.write('usage: node packages/cli/stage-image.ts FOLDER\n');
  process.exit(2);
}
stage(resolve(target));

function stage(folder: string): void {
  const rolldown = join(root, 'node_modules', 'rolldown', 'bin', 'cli.mjs');
  execFileSync(process.execPath, [rolldown, '-c', 'rolldown.config.ts'], {
    cwd: import.meta.dirname,
    env: { ...process.env, SLIPWAY_DIST: folder },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (const module of modulesOf(readManifest(folder), root)) {
    const to = join(folder, relative(root, module));
    if (existsSync(to)) continue; // inside of one that was copied
    mkdirSync(dirname(to), { recursive: true });
    cpSync(module, to, { recursive: true, verbatimSymlinks: true });
  }
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'bin', 'slipway'), COMMAND);
  chmodSync(join(folder, 'bin', 'slipway'), 0o755);
}

/** The folders of all packages that are needed, each before those inside of it. */
function modulesOf(manifest: Manifest, folder: string, found = new Set<string>()): Set<string> {
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
    const module = resolveModule(name, folder);
    if (module === null) {
      if (dependencies !== undefined && name in dependencies) throw new Error(`${name} is not installed: run npm ci`);
      continue; // of another platform, or not wanted
    }
    if (found.has(module)) continue;
    found.add(module);
    modulesOf(readManifest(module), module, found);
  }
  return found;
}

/** As Node looks for it: in the package, then in the folders around it. */
function resolveModule(name: string, from: string): string | null {
  for (let at = from; at.startsWith(root); at = dirname(at)) {
    const module = join(at, 'node_modules', name);
    if (existsSync(join(module, 'package.json'))) return module;
  }
  return null;
}

function readManifest(folder: string): Manifest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm has read it before us
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}
