import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../error-code.ts';

/** One process, for ever: numbers are used again, a number with its start time is not. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since the machine started (`/proc/PID/stat`, field 22); null where there is no /proc. */
  startTime: string | null;
}

const POLL_MILLISECONDS = 20;

export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: readStat(pid)?.startTime ?? null };
}

/** Whether this very process still runs. One that has ended and was not waited for yet does not. */
export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') return false;
  }
  if (process.platform !== 'linux') return true;
  const stat = readStat(pid);
  return stat !== null && stat.state !== 'Z' && (startTime === null || stat.startTime === startTime);
}

/**
 * Ends a process: the signal first, SIGKILL when that did not do it in time. Resolves when it is gone; fine when it is
 * gone already.
 */
export async function endProcess(
  process_: ProcessIdentity,
  signal: NodeJS.Signals,
  graceSeconds: number,
): Promise<void> {
  for (const [next, seconds] of [
    [signal, graceSeconds],
    ['SIGKILL', 10],
  ] as const) {
    if (!isRunning(process_)) return;
    send(process_.pid, next);
    await goneWithin(process_, seconds);
  }
}

/** @returns false when it still runs after that time. */
export async function goneWithin(process_: ProcessIdentity, seconds: number): Promise<boolean> {
  const deadline = performance.now() + seconds * 1000;
  while (isRunning(process_)) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MILLISECONDS);
  }
  return true;
}

/** A process whose command line holds these arguments in a row; null when none runs, or where there is no /proc. */
export function findProcess(args: string[]): ProcessIdentity | null {
  if (process.platform !== 'linux') return null;
  const row = `\0${args.join('\0')}\0`;
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) && readCommandLine(name).includes(row)) return identify(Number(name));
  }
  return null;
}

/** Arguments, each with a zero after it; empty when it has just ended. */
function readCommandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Ended between the look and the signal: that is what was wanted. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** proc_pid_stat(5): the name in brackets may hold blanks and brackets itself, so fields are counted after the last one. */
function readStat(pid: number): { state: string; startTime: string } | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  return state === undefined || startTime === undefined ? null : { state, startTime };
}
