import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CannotRun } from './cannot-run.ts';
import { command } from './command.ts';
import { findGo } from './go.ts';

/** Something that is built with Go once for each version of its sources, and kept outside of the checkout. */
export interface GoProgram {
  name: string;
  /** For people, e.g. `v1.36.2`; in the name of the folder too. */
  version: string;
  /** Folder with go.mod and go.sum. */
  sources: string;
  /** Every file in it that the result depends on. */
  files: string[];
  /** How long a build takes, for the one who waits. */
  takes: string;
  /** Puts everything into the folder `target`. */
  build(go: Go, target: string): Promise<void>;
}

export interface Go {
  /** Fetches modules, and gives what `go mod download -json` says of the last one: its folder. */
  download(folder: string, ...modules: string[]): Promise<string>;
  build(folder: string, options: { output: string; what: string; variables?: Record<string, string> }): Promise<void>;
}

const DOWNLOAD_SECONDS = 1_200;
const BUILD_SECONDS = 3_600;

/**
 * @returns The folder with what was built.
 * @throws {CannotRun} when there is no Go, or when modules can't be fetched.
 */
export async function builtProgram(program: GoProgram, progress: (step: string) => void): Promise<string> {
  const cache = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'), 'slipway');
  const folder = path.join(cache, `${program.name}-${program.version}-${await hashOf(program)}`);
  if (existsSync(folder)) return folder;
  const go = goAt(await findGo());
  progress(`building ${program.name} ${program.version}, once: ${program.takes} on 2 cores when nothing is cached`);
  await mkdir(cache, { recursive: true });
  // Put in place in one step: two runs at once do no harm, and one that is killed leaves nothing half.
  const work = await mkdtemp(`${folder}.new-`);
  try {
    await program.build(go, work);
    await rename(work, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // another run was faster
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

/** The version that a go.mod requires of a module. */
export async function requiredVersion(folder: string, module: string): Promise<string> {
  const lines = (await readFile(path.join(folder, 'go.mod'), 'utf8')).split('\n');
  const version = lines
    .map((line) =>
      line
        .replace(/^require /, '')
        .trim()
        .split(' '),
    )
    .find(([name]) => name === module);
  if (version?.[1] === undefined) throw new Error(`${folder}/go.mod does not require ${module}`);
  return version[1];
}

function goAt(go: string): Go {
  const env = { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
  return {
    async download(folder, ...modules) {
      const options = { cwd: folder, env, seconds: DOWNLOAD_SECONDS };
      const output = await command(go, ['mod', 'download', '-json', ...modules], options).catch((error: unknown) => {
        throw new CannotRun(`Go modules could not be fetched: ${String(error)}`);
      });
      return [...output.matchAll(/"Dir": "([^"]+)"/g)].at(-1)?.[1] ?? '';
    },
    async build(folder, { output, what, variables = {} }) {
      const set = Object.entries(variables).map(([name, value]) => ` -X ${name}=${value}`);
      const flags = ['-trimpath', '-buildvcs=false', '-ldflags', `-s -w${set.join('')}`];
      const options = { cwd: folder, env, seconds: BUILD_SECONDS, output: 'shown' } as const;
      await command(go, ['build', ...flags, '-o', output, what], options);
    },
  };
}

async function hashOf({ sources, files }: GoProgram): Promise<string> {
  const hash = createHash('sha256').update(process.arch);
  for (const file of files) hash.update(await readFile(path.join(sources, file)));
  return hash.digest('hex').slice(0, 16);
}
