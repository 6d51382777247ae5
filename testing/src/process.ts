import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEndOfTest } from './at-end-of-test.ts';
import { waitFor } from './wait-for.ts';

export interface ProcessOptions {
  cwd?: string;
  /** Added to this process's variables; undefined removes one. */
  env?: Record<string, string | undefined>;
  uid?: number;
  gid?: number;
  /** Default: until the end of the test, at the latest. `until killed`: for what several tests share; it ends with this process, at the latest. */
  lives?: 'until the end of the test' | 'until killed';
}

export interface TestProcess {
  pid: number;
  /** Everything it wrote so far, stdout and stderr in the order of arrival. */
  output(): string;
  /** Resolves with the match as soon as the output has one. Rejects, with the output, when the process ends first or after `seconds` (default 20). */
  waitForOutput(pattern: RegExp, seconds?: number): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Sends a signal to this process only. */
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGKILL to its process group and waits until it is gone. Fine when it has ended. Happens by itself at the end of the test. */
  kill(): Promise<void>;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  [Symbol.asyncDispose](): Promise<void>;
}

const groups = new Set<number>();
process.on('exit', () => {
  for (const group of groups) signalGroup(group);
});

/** Starts a real program in a process group of its own. */
export function startProcess(command: string, args: string[], options: ProcessOptions = {}): TestProcess {
  const { env, lives, ...rest } = options;
  const child = spawn(command, args, {
    ...rest,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stdin.on('error', () => undefined); // it ended before it had read everything
  child.on('error', (error) => (output += `${command}: ${error.message}\n`));
  if (pid === undefined) throw new Error(`${command} can't be started: is it on PATH?`);
  groups.add(pid);

  let ended = false;
  const exited = once(child, 'close').then(() => {
    ended = true;
    return { code: child.exitCode, signal: child.signalCode };
  });
  const kill = async () => {
    // Also after its own end: its children are in the group still.
    signalGroup(pid);
    groups.delete(pid);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  if (lives !== 'until killed') atEndOfTest(kill);

  return {
    pid,
    output: () => output,
    async waitForOutput(pattern, seconds) {
      const seen = await waitFor(() => pattern.exec(output) ?? (ended ? 'ended' : null), {
        what: `${pattern} in the output of ${command}`,
        seconds: seconds ?? 20,
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}\nIts output:\n${output}`, { cause: error });
      });
      if (seen !== 'ended') return seen;
      throw new Error(
        `${command} ended with ${child.exitCode ?? child.signalCode} before it wrote ${pattern}:\n${output}`,
      );
    },
    write: (text) => void child.stdin.write(text),
    signal: (signal) => void process.kill(pid, signal),
    kill,
    exited,
    [Symbol.asyncDispose]: kill,
  };
}

function signalGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
