import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { waitFor } from '../src/wait-for.ts';

export interface ProgramOptions {
  /** Names its log file. */
  name: string;
  program: string;
  args: string[];
  /** Folder of the log files. */
  logs: string;
  env?: Record<string, string>;
  /** Enters the namespaces of this process. */
  inside?: number;
  /** Which of them. `mounts`: it stays in the machine's network, and belongs to the node all the same, for what removes a killed run's. Default `all`. */
  namespaces?: 'all' | 'mounts';
}

/** A long-running part of the cluster. */
export interface Program {
  name: string;
  pid: number;
  log: string;
  /** Waits for `condition`; rejects with the end of the log when the program ends first, or after `seconds`. */
  until(condition: () => unknown, what: string, seconds: number): Promise<void>;
  /** SIGTERM, and SIGKILL to what is still there after 10 s. Fine when it has ended. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

const GRACE_SECONDS = 10;
const LINES_TO_SHOW = 15;

export function startProgram(options: ProgramOptions): Program {
  const { name, program, args, logs, env, inside, namespaces } = options;
  const log = path.join(logs, `${name}.log`);
  const file = openSync(log, 'a');
  // nsenter becomes the program, so that the child's PID is the program's.
  const line = inside === undefined ? [program, ...args] : ['nsenter', ...enter(inside, namespaces), program, ...args];
  const child = spawn(line[0] ?? '', line.slice(1), {
    env: { ...process.env, ...env },
    stdio: ['ignore', file, file],
    detached: true, // Ctrl-C is for the one who started the cluster, who then stops it in order
  });
  closeSync(file);
  let failure: Error | undefined;
  child.on('error', (error) => (failure = error));
  const { pid } = child;
  if (pid === undefined) throw new Error(`${line[0] ?? name} can't be started: is it on PATH?`);
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null || failure !== undefined;
  const tail = () =>
    `The end of ${log}:\n${readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LINES_TO_SHOW).join('\n')}`;

  return {
    name,
    pid,
    log,
    async until(condition, what, seconds) {
      const seen = await waitFor(async () => (hasEnded() ? 'ended' : await condition()), { what, seconds }).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${tail()}`, { cause: error });
        },
      );
      if (seen === 'ended')
        throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode} before ${what}.\n${tail()}`);
    },
    async stop(signal = 'SIGTERM') {
      if (hasEnded()) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), GRACE_SECONDS * 1_000);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Arguments of nsenter for what belongs to a node. */
export function enter(holder: number, namespaces: ProgramOptions['namespaces'] = 'all'): string[] {
  return ['-t', String(holder), '-m', ...(namespaces === 'all' ? ['-n'] : []), '--'];
}
