import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import type { Developer } from '../conformance/index.ts';
import { GitServer } from './git-server-fixture.ts';
import type { ServeGitOptions } from './serve-git-options.ts';

/** For tests: a server that is stopped at the end of the test. */
export async function startServer(options: Partial<ServeGitOptions> = {}, folder?: string): Promise<GitServer> {
  const server = await GitServer.start(options, folder);
  onTestFinished(() => server.stop());
  return server;
}

/** Everything git printed and how it ended. */
export interface Printed {
  code: number;
  text: string;
}

export async function attempt(developer: Developer, ...args: string[]): Promise<Printed> {
  try {
    return { code: 0, text: await developer.git(...args) };
  } catch (error) {
    if (!(error instanceof Error && 'stderr' in error && 'code' in error)) throw error;
    return { code: Number(error.code), text: String(error.stderr) };
  }
}

export interface LivePush {
  child: ChildProcess;
  /** What it printed so far. */
  text: () => string;
  ended: Promise<number | null>;
}

/** A push that the test can watch and kill, in a process group of its own (git starts helpers). */
export function pushLive(developer: Developer, ...args: string[]): LivePush {
  const env = { PATH: process.env['PATH'] ?? '', HOME: developer.folder, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
  const child = spawn('git', ['push', ...args], {
    cwd: developer.folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => killGroup(child));
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { child, text: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
}

export function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(-(child.pid ?? 0), signal);
  } catch {
    // It has ended.
  }
}

/** Process ids of git children that work on this server's repositories. */
export async function gitChildren(server: { folder: string }, command: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const home = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (line.includes(command) && home.includes(`HOME=${server.folder}/`)) found.push(Number(pid));
  }
  return found;
}
