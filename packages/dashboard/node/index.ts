import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { hashOfSources, packageFolder, stampFile } from './sources.ts';

const run = promisify(execFile);

/** Absolute path of the folder with the built page: `index.html`, and `assets/` with a hash in every file name. */
export function dashboardFolder(): string {
  return join(packageFolder, 'dist');
}

/**
 * Builds the page into `folder` when there is no build of the present sources in it, and answers with `folder`.
 * A few milliseconds when there is one, about a second otherwise; safe to call from several processes at once.
 *
 * @throws {Error} with the output of the build when it fails; a build that was there before stays in place.
 */
export async function buildIfMissing(folder: string = dashboardFolder()): Promise<string> {
  if (!isCurrent(folder)) await build(folder);
  return folder;
}

function isCurrent(folder: string): boolean {
  // What is published has the build and no sources.
  if (!existsSync(join(packageFolder, 'src'))) return true;
  try {
    return readFileSync(join(folder, stampFile), 'utf8') === hashOfSources();
  } catch {
    return false;
  }
}

/** Builds beside the folder and swaps it in: a process killed halfway never leaves half a build. */
async function build(folder: string): Promise<void> {
  const workshop = await mkdtemp(join(dirname(folder), '.build-'));
  // Both are called dist, so that what a killed process leaves is ignored like dist itself.
  const fresh = join(workshop, 'new', 'dist');
  const old = join(workshop, 'old', 'dist');
  try {
    await runVite(fresh);
    await mkdir(dirname(old));
    // Another process may swap at the same moment: the loser finds the folder taken, by a build of the same sources.
    await rename(folder, old).catch(ignoreRace);
    await rename(fresh, folder).catch(ignoreRace);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
  if (!isCurrent(folder)) {
    throw new Error(`The dashboard's sources changed while it was built into ${folder}; start again.`);
  }
}

/** In a process of its own: the bundler's memory goes away with it. */
async function runVite(outDir: string): Promise<void> {
  const vite = join(dirname(createRequire(import.meta.url).resolve('vite/package.json')), 'bin', 'vite.js');
  try {
    await run(process.execPath, [vite, 'build', '--outDir', outDir, '--emptyOutDir', '--logLevel', 'warn'], {
      cwd: packageFolder,
      env: { ...process.env, NODE_ENV: 'production' },
    });
  } catch (error) {
    // The message has what the build wrote to its standard error.
    throw new Error(`The dashboard could not be built.\n${String(error)}`, { cause: error });
  }
}

function ignoreRace(error: NodeJS.ErrnoException): void {
  if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) throw error;
}
