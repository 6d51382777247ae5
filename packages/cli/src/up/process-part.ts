import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { SlipwayError } from '@slipway/app/errors';
import { version } from '../version.ts';
import { lastWords, openLog, sizeOf } from './log-file.ts';
import type { Part, RunningPart } from './part.ts';
import { endProcess, identify, isRunning, type ProcessIdentity } from './process-identity.ts';
import type { PartRecord } from './state.ts';

export interface ProcessPartOptions {
  title: string;
  /** Arguments of this same program, e.g. `['agent', '--home', ...]`. */
  args: string[];
  /** Program file. */
  entry: string;
  /** Flags of Node itself. */
  nodeFlags: string[];
  /** Variables besides those of this process; read at each start. */
  variables: () => Record<string, string>;
  log: string;
  /** Where Node keeps what it made of the sources: without it, type stripping alone takes some 20 MiB in each process. */
  cache: string;
  record: { read: () => PartRecord | undefined; write: (record: PartRecord) => void };
  /** Whether this very process does its work. */
  answers: (process: ProcessIdentity) => Promise<boolean>;
  /** Asks it to end in its own way before it is signalled. */
  beforeEnd?: (process: ProcessIdentity) => Promise<void>;
  /** Seconds between SIGTERM and SIGKILL. */
  graceSeconds: number;
}

const START_SECONDS = 60;
const ADOPT_SECONDS = 10;
const POLL_MILLISECONDS = 20;
const ADOPTED_POLL_MILLISECONDS = 500;

/**
 * A process of Slipway's own. It runs in a session of its own, with its output in a file, so that neither Ctrl-C nor
 * `kill -9` of the supervisor touches it; who it is stands in `up.json`, so that the next `up` adopts it.
 */
export function processPart(options: ProcessPartOptions): Part {
  // Variables hold secrets: only their hash is kept.
  const wanted = () => {
    const variables = createHash('sha256').update(JSON.stringify(options.variables())).digest('hex').slice(0, 8);
    return `${version} ${options.args.join(' ')} ${variables}`;
  };

  return {
    title: options.title,

    async start(): Promise<RunningPart> {
      const found = options.record.read();
      if (found !== undefined && isRunning(found)) {
        if (found.start === wanted() && (await answersWithin(found, ADOPT_SECONDS))) {
          return { how: 'adopted', ended: endOfStranger(found) };
        }
        // Of another version, with other ports, or hanging. What it keeps running goes on without it.
        await endProcess(found, 'SIGTERM', options.graceSeconds);
      }
      return spawnPart();
    },

    async stop(): Promise<void> {
      const found = options.record.read();
      if (found === undefined || !isRunning(found)) return;
      await options.beforeEnd?.(found);
      await endProcess(found, 'SIGTERM', options.graceSeconds);
    },
  };

  async function spawnPart(): Promise<RunningPart> {
    const descriptor = openLog(options.log);
    const logStart = sizeOf(options.log);
    const child = spawn(process.execPath, [...options.nodeFlags, options.entry, ...options.args], {
      detached: true,
      stdio: ['ignore', descriptor, descriptor],
      env: { NODE_COMPILE_CACHE: options.cache, ...process.env, ...options.variables() },
    });
    closeSync(descriptor);
    const ended = endOfChild(child);
    if (child.pid === undefined) throw new SlipwayError('transient', `the ${options.title} ${await ended}`);
    const identity = identify(child.pid);
    options.record.write({ ...identity, start: wanted() });
    child.unref();

    if (await answersWithin(identity, START_SECONDS)) return { how: 'started', ended };
    const late = isRunning(identity);
    await endProcess(identity, 'SIGTERM', 1);
    const what = late ? `did not answer within ${START_SECONDS} s` : await ended;
    const lines = lastWords(options.log, logStart).map((line) => `\n  ${line}`);
    throw new SlipwayError(
      'transient',
      `the ${options.title} ${what}${lines.length === 0 ? '' : `:${lines.join('')}\n`}`,
      {
        hint: `Its log: ${options.log}`,
      },
    );
  }

  async function answersWithin(identity: ProcessIdentity, seconds: number): Promise<boolean> {
    const deadline = performance.now() + seconds * 1000;
    while (isRunning(identity) && performance.now() < deadline) {
      if (await options.answers(identity)) return true;
      await delay(POLL_MILLISECONDS);
    }
    return false;
  }
}

function endOfChild(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`),
    );
    child.once('error', (error) => resolve(`could not be started (${error.message})`));
  });
}

/** The end of a process that is not our child can't be waited for, only noticed. */
async function endOfStranger(identity: ProcessIdentity): Promise<string> {
  while (isRunning(identity)) await delay(ADOPTED_POLL_MILLISECONDS, undefined, { ref: false });
  return 'ended';
}
