import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { expect, test } from 'vitest';

/** The rules of the house that can be read off the files: see CONTRIBUTING.md. A broken rule is named with its file. */

const root = path.dirname(import.meta.dirname);

const floors: Record<string, number> = {
  queue: 0,
  postgres: 0,
  app: 1,
  engine: 1,
  machine: 2,
  kubernetes: 2,
  forge: 2,
  checks: 3,
  guard: 3,
  nodes: 3,
  server: 4,
  cli: 5,
  dashboard: 5,
};
/**
 * Arrows within one floor: what every engine keeps is said in terms of what a team declares; the command line hands the
 * built page to the control plane it starts.
 */
const sameFloor = new Set(['engine -> app', 'cli -> dashboard']);
const bucketNames = /^(utils?|helpers?|common|types|misc|shared)$/;
const longestSource = 450;
const sleeps = /setTimeout\(\s*(resolve|done|res|r)\b|setTimeout\(\)|timers\/promises|\bsleep\(\s*[\w.]/;
const unfinished = /\b(TO)(DO)\b|\b(FIX)(ME)\b/;

interface Manifest {
  name: string;
  exports?: string | Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

interface Room {
  /** `queue`, ..., or `testing`. */
  name: string;
  folder: string;
  manifest: Manifest;
}

interface Source {
  /** Relative to the root. */
  file: string;
  room: Room;
  text: string;
  kind: 'test' | 'source';
}

const rootManifest = readManifest(root);
const rooms = [
  ...readdirSync(path.join(root, 'packages')).map((name) => path.join('packages', name)),
  'testing',
].flatMap(readRoom);
const sources = rooms.flatMap(readSources);

test('arrows only point down', () => {
  expect(
    breaches((source, specifier) => {
      const target = roomOf(specifier);
      if (target === undefined || target === source.room || source.room.name === 'testing') return null;
      if (target.name === 'testing') return source.kind === 'test' ? null : 'only tests may import @slipway/testing';
      if (sameFloor.has(`${source.room.name} -> ${target.name}`)) return null;
      const from = floors[source.room.name];
      const to = floors[target.name];
      if (from === undefined || to === undefined)
        return `the floor of ${source.room.name} or ${target.name} is not known`;
      return to < from ? null : `${source.room.name} (floor ${from}) may not import ${target.name} (floor ${to})`;
    }),
  ).toEqual([]);
});

test('nothing reaches past the face of another package', () => {
  expect(
    breaches((source, specifier) => {
      if (specifier.startsWith('.')) {
        const target = path.resolve(root, path.dirname(source.file), specifier);
        return isInside(target, source.room.folder) ? null : `${specifier} leaves the package`;
      }
      const target = roomOf(specifier);
      if (target === undefined) return null;
      const { exports } = target.manifest;
      const faces = typeof exports === 'string' ? ['.'] : Object.keys(exports ?? {});
      const face = `.${specifier.slice(target.manifest.name.length)}`;
      return faces.includes(face) ? null : `${specifier} is not in the exports of ${target.manifest.name}`;
    }),
  ).toEqual([]);
});

test('no files import each other in a circle', () => {
  const imports = new Map(
    sources.map(({ file, text }) => [
      file,
      importsOf(text)
        .filter(({ specifier, when }) => specifier.startsWith('.') && when === 'at once')
        .map(({ specifier }) => path.join(path.dirname(file), specifier)),
    ]),
  );
  const circles: string[] = [];
  const clear = new Set<string>();
  const follow = (file: string, way: string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(' -> '));
    if (clear.has(file) || way.includes(file)) return;
    for (const next of imports.get(file) ?? []) follow(next, [...way, file]);
    clear.add(file);
  };
  for (const file of imports.keys()) follow(file, []);
  expect(circles).toEqual([]);
});

test('what is imported is declared', () => {
  expect(
    breaches((source, specifier, what) => {
      const name = /^(@[^/]+\/[^/]+|[^@./][^/]*)/.exec(specifier)?.[1];
      if (name === undefined || name.startsWith('node:') || name === source.room.manifest.name) return null;
      if (builtinModules.includes(name)) return `write node:${name}`;
      const { dependencies, devDependencies } = source.room.manifest;
      const declared = {
        ...dependencies,
        ...(source.kind === 'test' || what === 'types' ? { ...devDependencies, ...rootManifest.devDependencies } : {}),
      };
      if (Object.hasOwn(declared, name)) return null;
      if (source.kind === 'test' && name === '@slipway/testing') return null;
      return `${name} is not a dependency of ${source.room.manifest.name}`;
    }),
  ).toEqual([]);
});

test('files are named after what they do', () => {
  const buckets = sources.filter(({ file }) =>
    file.split('/').some((part) => bucketNames.test(part.split('.')[0] ?? '')),
  );
  expect(buckets.map(({ file }) => `${file}: the name says nothing about what is in it`)).toEqual([]);
});

test(`no source file is longer than ${longestSource} lines`, () => {
  const long = sources.filter(({ kind, text }) => kind === 'source' && lineCount(text) > longestSource);
  expect(long.map(({ file, text }) => `${file}: ${lineCount(text)} lines`)).toEqual([]);
});

test('no test sleeps', () => {
  expect(
    lines(
      (source, line) => source.file.endsWith('.test.ts') && sleeps.test(line),
      'wait for a condition: waitFor of @slipway/testing',
    ),
  ).toEqual([]);
});

test('nothing is left unfinished', () => {
  expect(lines((_, line) => unfinished.test(line), 'finish it, or leave it out')).toEqual([]);
});

/** One text per import that `rule` has something to say about. */
function breaches(rule: (source: Source, specifier: string, what: Import['what']) => string | null): string[] {
  return sources.flatMap((source) =>
    importsOf(source.text).flatMap(({ specifier, what }) => {
      const breach = rule(source, specifier, what);
      return breach === null ? [] : [`${source.file}: ${breach}`];
    }),
  );
}

function lines(breaks: (source: Source, line: string) => boolean, advice: string): string[] {
  return sources
    .filter((source) => source.file !== 'testing/house.test.ts')
    .flatMap((source) =>
      source.text
        .split('\n')
        .flatMap((line, index) =>
          breaks(source, line) ? [`${source.file}:${index + 1}: ${line.trim()} (${advice})`] : [],
        ),
    );
}

interface Import {
  specifier: string;
  /** `types` are gone when the program runs. */
  what: 'types' | 'values';
  /** `later`: by `import()`, when the other file is loaded already. */
  when: 'at once' | 'later';
}

function importsOf(text: string): Import[] {
  const pattern =
    /^(?:import|export)( type)?\b[^'";]*?from\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    specifier: match[2] ?? match[3] ?? match[4] ?? '',
    what: match[1] === undefined ? 'values' : 'types',
    when: match[4] === undefined ? 'at once' : 'later',
  }));
}

function roomOf(specifier: string): Room | undefined {
  return rooms.find(({ manifest }) => specifier === manifest.name || specifier.startsWith(`${manifest.name}/`));
}

function isInside(target: string, folder: string): boolean {
  return target.startsWith(folder + path.sep);
}

function lineCount(text: string): number {
  return text.trimEnd().split('\n').length;
}

function readRoom(folder: string): Room[] {
  if (!existsSync(path.join(root, folder, 'package.json'))) return [];
  const absolute = path.join(root, folder);
  return [{ name: path.basename(folder), folder: absolute, manifest: readManifest(absolute) }];
}

function readManifest(folder: string): Manifest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm has read it before us
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Manifest;
}

function readSources(room: Room): Source[] {
  return readdirSync(room.folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !/(^|\/)(node_modules|dist)\//.test(file))
    .sort()
    .map((name) => {
      const file = path.relative(root, path.join(room.folder, name));
      // Conformance suites and `*-under-test.ts` are part of tests; configurations and scripts run on a developer's machine only.
      const isTest = /\.test\.tsx?$|-under-test\.ts$|\/(conformance|test|scripts)\/|^testing\/|\.config\.ts$/.test(
        file,
      );
      return { file, room, text: readFileSync(path.join(root, file), 'utf8'), kind: isTest ? 'test' : 'source' };
    });
}
