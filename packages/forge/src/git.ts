import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { SlipwayError } from '@slipway/app';

export type GitProcess = ChildProcessByStdio<Writable, Readable, Readable>;

export interface GitResult {
  /** Exit code; -1 when a signal ended it. */
  code: number;
  stdout: Buffer;
  stderr: string;
  /** `cut`: it wrote more than `maxBytes` and was ended. `timeout`: it took too long and was ended. */
  end: 'whole' | 'cut' | 'timeout';
}

export interface GitOptions {
  input?: Buffer | string;
  /** Default 64 MiB. */
  maxBytes?: number;
  /** Default 60 s. */
  timeoutMs?: number;
  variables?: Record<string, string>;
}

/**
 * What every repository has in common. It is in the HOME that only our git processes see, so that a newer version of
 * Slipway changes it for all of them at once, and nothing on this machine changes what git does here. `unpackLimit`: a push
 * is stored as one pack, which is flushed to disk once, and not file by file (measured: 60 instead of 130 ms for ten files);
 * `maintain` joins the packs.
 */
const configuration = `[safe]
	directory = *
[core]
	autocrlf = false
	hooksPath = /dev/null
	fsyncMethod = batch
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
	unpackLimit = 1
	denyNonFastForwards = false
	denyDeletes = false
	denyDeleteCurrent = ignore
	denyCurrentBranch = ignore
	fsckObjects = true
	advertisePushOptions = false
[receive "fsck"]
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
	zeroPaddedFilemode = ignore
[transfer]
	hideRefs = refs/slipway
	hideRefs = refs/replace
[uploadpack]
	allowFilter = true
[protocol]
	version = 2
`;

/** Runs the system's git: no shell, no configuration of this machine, no questions, bounded in time and output. */
export class Git {
  readonly #home: string;
  readonly #running = new Set<GitProcess>();

  /** @param home Folder for git's own configuration; made by `start`. */
  constructor(home: string) {
    this.#home = home;
  }

  /** Writes the configuration and checks that git is there and new enough. @throws {SlipwayError} `mistake` otherwise. */
  async start(): Promise<void> {
    await mkdir(this.#home, { recursive: true });
    const file = join(this.#home, '.gitconfig');
    await writeFile(`${file}.new`, configuration);
    await rename(`${file}.new`, file);
    const { stdout } = await this.run(['version']);
    const version = stdout.toString().trim();
    const [, major, minor] = /(\d+)\.(\d+)/.exec(version) ?? [];
    if (Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 25)) return;
    throw new SlipwayError('mistake', `Slipway needs git 2.25 or newer, and found "${version}".`, {
      hint: 'Install a newer git, then start Slipway again.',
    });
  }

  /** Ends what still runs: politely (git then removes its temporary files), after `graceMs` for good. */
  async stop(graceMs: number): Promise<void> {
    const ended = [...this.#running].map((child) => new Promise((resolve) => child.once('close', resolve)));
    if (ended.length === 0) return;
    const patience = setTimeout(() => this.#running.forEach((child) => end(child, 'SIGTERM')), graceMs);
    const force = setTimeout(() => this.#running.forEach((child) => end(child, 'SIGKILL')), graceMs + 3000);
    await Promise.all(ended);
    clearTimeout(patience);
    clearTimeout(force);
  }

  /**
   * Starts git in a process group of its own, so that a Ctrl-C meant for Slipway does not cut a push in half, and so that
   * its children end with it.
   */
  spawn(args: string[], variables: Record<string, string> = {}): GitProcess {
    const child: GitProcess = spawn('git', args, {
      cwd: this.#home,
      detached: true,
      env: {
        PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
        HOME: this.#home,
        LC_ALL: 'C',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_ATTR_NOSYSTEM: '1',
        GIT_TERMINAL_PROMPT: '0',
        GIT_OPTIONAL_LOCKS: '0',
        // A client may push refs/replace; what a sha stands for must not change by that.
        GIT_NO_REPLACE_OBJECTS: '1',
        ...variables,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#running.add(child);
    child.once('close', () => this.#running.delete(child));
    // It may end before it has read its input; its exit code says what happened.
    child.stdin.on('error', () => {});
    return child;
  }

  /**
   * Runs git to its end. A non-zero exit code is a result; what it means is the caller's to say.
   *
   * @throws {SlipwayError} `mistake` when there is no git.
   */
  async run(args: string[], options: GitOptions = {}): Promise<GitResult> {
    const { maxBytes = 64 * 1024 * 1024, timeoutMs = 60_000 } = options;
    const child = this.spawn(args, options.variables);
    const stdout: Buffer[] = [];
    const result: GitResult = { code: -1, stdout: Buffer.alloc(0), stderr: '', end: 'whole' };
    const cut = (reason: 'cut' | 'timeout'): void => {
      result.end = reason;
      end(child, 'SIGKILL');
    };
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) cut('cut');
      else stdout.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (result.stderr.length < 64 * 1024) result.stderr += chunk.toString();
    });
    child.stdin.end(options.input ?? '');
    const timer = setTimeout(() => cut('timeout'), timeoutMs);
    try {
      result.code = await new Promise<number>((resolve, reject) => {
        child.once('error', (error) => reject(spawnError(error)));
        child.once('close', (code) => resolve(code ?? -1));
      });
    } finally {
      clearTimeout(timer);
    }
    result.stdout = Buffer.concat(stdout);
    return result;
  }

  /** Like {@link run}, for commands that only fail when something is wrong with the machine or with us. */
  async must(args: string[], options: GitOptions = {}): Promise<Buffer> {
    const result = await this.run(args, options);
    if (result.code === 0 && result.end === 'whole') return result.stdout;
    throw gitError(args, result);
  }
}

/** Ends a git process and all of its children. */
export function end(child: GitProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/** True when the text says that there was no room to write. A checkout only says that it could not write, not why. */
export function saysDiskFull(text: string): boolean {
  return /No space left on device|Disk quota exceeded|unable to write file/i.test(text);
}

export function gitError(args: string[], result: GitResult): Error {
  const what = `git ${args.find((argument) => /^[a-z]/.test(argument)) ?? ''}`;
  if (saysDiskFull(result.stderr)) {
    return new SlipwayError('transient', `${what} failed because the disk is full.`, {
      hint: 'Free space where Slipway keeps its data; it is tried again.',
    });
  }
  if (result.end === 'timeout') return new SlipwayError('transient', `${what} took too long and was ended.`);
  if (result.end === 'cut') return new SlipwayError('mistake', `${what} wrote more than Slipway reads at once.`);
  return new Error(`${what} failed with exit code ${result.code}: ${result.stderr.trim().slice(-2000)}`);
}

/** What a failed start of git means. */
export function spawnError(error: Error): Error {
  if (!('code' in error) || error.code !== 'ENOENT') return error;
  return new SlipwayError('mistake', 'Slipway needs git 2.25 or newer, and there is no git on PATH.', {
    hint: 'Install git (e.g. apt-get install git, brew install git), then start Slipway again.',
  });
}
