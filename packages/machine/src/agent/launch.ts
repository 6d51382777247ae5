import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { chmod, lstat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { readOutput, type Output, type OutputOptions } from './output.ts';
import type { ProcessFolder } from './process-folder.ts';
import type { AppUser } from './user.ts';

const run = promisify(execFile);

export interface Launch {
  folder: ProcessFolder;
  command: readonly string[];
  cwd: string;
  environment: Record<string, string>;
  user: AppUser | null;
  output: OutputOptions;
}

/**
 * Starts a command in a session and process group of its own, with exactly the environment given.
 *
 * Its output goes through FIFOs that the process itself holds open for reading and writing. A pipe to the agent would
 * end the app with SIGPIPE when the agent dies; like this it goes on, and the next agent reads on from where this one stopped.
 */
export function launch(options: Launch): { child: ChildProcess; output: Output } {
  // Opened for both directions so that opening does not wait for a reader, and no end of the agent is an end of the reader.
  const stdout = openSync(options.folder.stdout, constants.O_RDWR);
  const stderr = openSync(options.folder.stderr, constants.O_RDWR);
  try {
    const output = readOutput(options.folder, options.output);
    const [program = 'sh', ...args] = options.command;
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.environment,
      detached: true,
      stdio: ['ignore', stdout, stderr],
      ...options.user,
    });
    child.unref();
    return { child, output };
  } finally {
    closeSync(stdout);
    closeSync(stderr);
  }
}

export async function ownFolder(folder: string, user: AppUser | null): Promise<void> {
  if (user !== null) await run('chown', ['-R', '-h', `${user.uid}:${user.gid}`, folder]);
  await run('chmod', ['-R', 'u+rwX', folder]);
}

/** Makes a folder read-only for every process an engine starts: owned by the agent, without write bits, readable for all. */
export async function sealFolder(folder: string): Promise<void> {
  if (process.getuid?.() === 0) await run('chown', ['-R', '-h', '0:0', folder]);
  await run('chmod', ['-R', 'a-w,a+rX', folder]);
}

/** Takes the write bits from a folder that the user could change; quick when it is sealed already. */
export async function sealIfOpen(folder: string, user: AppUser | null): Promise<void> {
  const found = await lstat(folder);
  const uid = user?.uid ?? process.getuid?.() ?? 0;
  const writable = (found.uid === uid && (found.mode & 0o200) !== 0) || (found.mode & 0o002) !== 0;
  if (!writable) return;
  if (user === null) await chmod(folder, found.mode & 0o7555);
  await sealFolder(folder);
}
