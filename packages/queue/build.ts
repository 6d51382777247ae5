import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/**
 * Builds what is published as `@slipway/queue` into `dist` (or `SLIPWAY_DIST`): Node runs no TypeScript under node_modules. Module by module,
 * so that the migrations lie where the modules look for them, and a stack trace names the file it comes from. Publish it with
 * `npm publish packages/queue/dist`.
 */

interface Manifest {
  version: string;
  description: string;
  license: string;
  exports: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

const root = path.join(import.meta.dirname, '..', '..');
const out = process.env['SLIPWAY_DIST'] ?? path.join(import.meta.dirname, 'dist');
const own = readManifest(import.meta.dirname);

rmSync(out, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [compiler(), '-p', path.join(import.meta.dirname, 'tsconfig.build.json'), '--outDir', out],
  {
    stdio: 'inherit',
  },
);
nameDeclarations();
cpSync(path.join(import.meta.dirname, 'migrations'), path.join(out, 'migrations'), { recursive: true });
cpSync(path.join(import.meta.dirname, 'README.md'), path.join(out, 'README.md'));
cpSync(path.join(root, 'LICENSE'), path.join(out, 'LICENSE'));
writeFileSync(path.join(out, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);

function compiler(): string {
  return createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace('package.json', 'bin/tsc');
}

/** The compiler rewrites `./task.ts` to `./task.js` in what runs, and leaves it in what declares. */
function nameDeclarations(): void {
  const files = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.d.ts'));
  for (const file of files.map((name) => path.join(out, name))) {
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replaceAll(/((?:from|import) ?\(?["']\.[^"']*)\.ts(["'])/g, '$1.js$2'));
  }
}

/**
 * Its dependencies are ranges here, so that npm shares them with the program that uses it: the `Pool` and the schemas it is handed come
 * from the same `pg` and `zod` then. They are no peer dependencies, because a program that only has a URL needs neither of its own.
 * The types of `pg` are in our declarations.
 */
function manifest() {
  const types = { '@types/pg': readManifest(root).devDependencies['@types/pg'] };
  const dependencies = Object.entries({ ...own.dependencies, ...types }).sort(([a], [b]) => a.localeCompare(b));
  return {
    name: '@slipway/queue',
    version: own.version,
    description: own.description,
    license: own.license,
    type: 'module',
    engines: { node: '>=22.12' },
    exports: Object.fromEntries(Object.entries(own.exports).map(([face, file]) => [face, published(file)])),
    dependencies: Object.fromEntries(dependencies.map(([name, version]) => [name, `^${version}`])),
  };
}

function published(file: string): { types: string; default: string } {
  const base = file.replace(/\.ts$/, '');
  return { types: `${base}.d.ts`, default: `${base}.js` };
}

function readManifest(folder: string): Manifest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm has read it before us
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Manifest;
}
