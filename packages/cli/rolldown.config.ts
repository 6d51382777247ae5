import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildIfMissing } from '@slipway/dashboard';
import { defineConfig, type Plugin } from 'rolldown';

/**
 * Builds what is published as the npm package `slipway` into `dist`: Node runs no TypeScript under node_modules. The folder mirrors the
 * repository, module by module, so that whatever lies beside a module (migrations, the built page, the example) is found
 * there too. Publish it with `npm publish packages/cli/dist`.
 */

const root = join(import.meta.dirname, '..', '..');
const out = process.env['SLIPWAY_DIST'] ?? join(import.meta.dirname, 'dist');
const documents = ['README.md', 'LICENSE', 'CHANGELOG.md'];
/** Read at run time, by their place beside the modules. */
const besides = /(^|\/)migrations$/;

interface Manifest {
  version: string;
  description: string;
  license: string;
  dependencies?: Record<string, string>;
}

export default defineConfig({
  input: join(import.meta.dirname, 'src', 'main.ts'),
  platform: 'node',
  // Real npm packages are installed with it; our own are brought along.
  external: (id) => !/^(\.|\/|@slipway\/)/.test(id),
  output: {
    dir: out,
    cleanDir: true,
    preserveModules: true,
    preserveModulesRoot: root,
    entryFileNames: '[name].js',
  },
  plugins: [complete()],
});

/** Adds to the modules what they need beside them, and the manifest. */
function complete(): Plugin {
  return {
    name: 'slipway-complete',
    async writeBundle(_, bundle) {
      const packages = new Set(
        Object.values(bundle)
          .flatMap((part) => (part.type === 'chunk' ? part.moduleIds : []))
          .map(packageOf),
      );
      packages.delete(null);
      for (const name of packages) copyBesides(join('packages', String(name)));
      copyAll(relative(root, await buildIfMissing()));
      copyAll('examples');
      for (const file of documents) copyAll(file);
      writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest([...packages].map(String)), null, 2)}\n`);
    },
  };
}

/** The folder below `packages/` that a module is in; null for what the bundler made itself. */
function packageOf(moduleId: string): string | null {
  const [top, name] = relative(root, moduleId).split('/');
  return top === 'packages' && name !== undefined ? name : null;
}

function copyBesides(folder: string): void {
  const folders = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  for (const name of folders.filter((path) => besides.test(path) && !/(^|\/)(node_modules|dist)\//.test(path)))
    copyAll(join(folder, name));
}

function copyAll(path: string): void {
  if (!existsSync(join(root, path))) return;
  mkdirSync(join(out, path, '..'), { recursive: true });
  cpSync(join(root, path), join(out, path), { recursive: true, filter: (from) => !from.endsWith('/node_modules') });
}

/** Dependencies of every package that is brought along; the page is built already and needs none. */
function manifest(packages: string[]) {
  const own = readManifest('cli');
  const dependencies = packages
    .filter((name) => name !== 'dashboard')
    .flatMap((name) => Object.entries(readManifest(name).dependencies ?? {}))
    .filter(([name]) => !name.startsWith('@slipway/'))
    .sort(([a], [b]) => a.localeCompare(b));
  return {
    name: 'slipway',
    version: own.version,
    description: own.description,
    license: own.license,
    type: 'module',
    bin: { slipway: 'packages/cli/src/main.js' },
    engines: { node: '>=26' },
    dependencies: Object.fromEntries(dependencies),
  };
}

function readManifest(name: string): Manifest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm has read it before us
  return JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as Manifest;
}
