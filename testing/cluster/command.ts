import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Default 60. */
  seconds?: number;
  /** `shown` on this terminal as it comes, for what takes minutes. Default: only what it wrote to stdout is returned. */
  output?: 'returned' | 'shown';
}

/**
 * Runs a program to its end.
 *
 * @returns What it wrote to stdout.
 * @throws {Error} with what it wrote to stderr when it ends with another code than 0.
 */
export async function command(program: string, args: string[], options: CommandOptions = {}): Promise<string> {
  const { cwd, env, seconds = 60, output = 'returned' } = options;
  const child = spawn(program, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
    stdio: ['ignore', output === 'shown' ? 'inherit' : 'pipe', output === 'shown' ? 'inherit' : 'pipe'],
    timeout: seconds * 1_000,
    killSignal: 'SIGKILL',
  });
  let [written, complaints] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (written += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  await once(child, 'close').catch((error: unknown) => {
    throw new Error(`${program} can't be started: ${String(error)}`, { cause: error });
  });
  if (child.exitCode === 0) return written;
  const end = child.exitCode ?? `${child.signalCode ?? 'a signal'} (it has ${seconds} s)`;
  throw new Error(`${[program, ...args].join(' ')} ended with ${end}: ${complaints.trim() || written.trim()}`);
}
