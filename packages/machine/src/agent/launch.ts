import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { chmod, lstat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { readOutput, type Output, type OutputOptions } from './output.ts';
import type { ProcessFolder } from './process-folder.ts';
import { groupRuns, killAll, membersOf, signal, type ProcessName } from './procfs.ts';
import type { AppUser } from './user.ts';

const run = promisify(execFile);

/** Milliseconds between two looks at a group that is being ended. */
const longestLook = 100;
/** Milliseconds that the kernel may take to end what was killed; a process in an uninterruptible call is not waited for longer. */
const killedWithin = 5000;

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

/**
 * Ends everything that belongs to a process: SIGTERM to its group, SIGKILL after `graceMs` to the group and to whatever left it (its mark
 * tells). Resolves when nothing of it runs. The whole group has the grace: often the leader is a shell that ends at once, while the app
 * behind it still answers its last requests.
 *
 * @param leaderRuns False once the leader has ended; then its pid may mean nothing any more, unless its group lives on.
 */
export async function endTree(
  id: string,
  leader: ProcessName,
  leaderRuns: () => boolean,
  graceMs: number,
): Promise<void> {
  const group = leader.pid;
  if (group === null) return;
  if (leaderRuns()) {
    signal({ group }, 'SIGTERM');
    await groupEnds(group, graceMs);
    signal({ group }, 'SIGKILL');
  }
  await killLeftovers(id, leader);
  await groupEnds(group, killedWithin);
}

/** Resolves when no process of the group runs, or after `ms`. Neither orphans nor adopted processes send an event; so while something is being ended, /proc is asked. */
async function groupEnds(leader: number, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  for (let pause = 5; await groupRuns(leader); pause = Math.min(pause * 1.5, longestLook)) {
    const left = deadline - performance.now();
    if (left <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left)));
  }
}

/** Kills what is left of an instance whose leader has ended. `leader` null: it ended unseen, or was never recorded; only the mark proves what is left. */
export async function killLeftovers(id: string, leader: ProcessName | null): Promise<void> {
  killAll(await membersOf(id, leader));
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
