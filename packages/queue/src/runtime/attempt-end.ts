import { constants } from 'node:os';
import { mebibytes, type Limits } from './limits.ts';

/**
 * How an attempt ended.
 *
 * | kind | when | whose counter |
 * | --- | --- | --- |
 * | done        | exit code 0, or the answer `done` | |
 * | error       | another exit code, or the answer `failed` | error |
 * | discarded   | exit code 65, or `failed` with `discard`: trying again would not help | |
 * | again       | exit code 75, or `failed` with `again`: later, and no retry is used up | |
 * | oom         | it used more memory than its limit | oom |
 * | timeout     | it ran longer than its limit | timeout |
 * | crash       | a signal that we did not send, or a kept program that was gone before it answered | crash |
 * | interrupted | we were told to end it | none: free |
 */
export type AttemptEnd =
  | { kind: 'done' }
  | { kind: 'error'; message: string; exitCode: number | null }
  | { kind: 'discarded'; message: string }
  | { kind: 'again'; seconds: number; message: string }
  | { kind: 'oom'; message: string; proof: OomProof }
  | { kind: 'timeout'; message: string }
  | { kind: 'crash'; message: string; signal: string | null }
  | { kind: 'interrupted'; reason: InterruptReason };

/**
 * | proof | how it is known that memory ran out |
 * | --- | --- |
 * | cgroup   | the kernel says that it killed the attempt for that |
 * | measured | we saw more than the limit in use, and killed it |
 * | runtime  | the program's own runtime gave up (V8's heap limit, Python's MemoryError), or it was killed from outside near its limit |
 */
export type OomProof = 'cgroup' | 'measured' | 'runtime';

export type InterruptReason = 'cancelled' | 'lease-lost' | 'stopping';

/** Why we ended it; the first reason counts. */
export type StopCause =
  | { kind: 'oom'; bytes: number }
  | { kind: 'timeout' }
  | { kind: 'interrupted'; reason: InterruptReason };

/** What is known of a process tree after its end. */
export interface Ending {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stopped: StopCause | null;
  oomKills: number;
  peakBytes: number;
  lastLines: readonly string[];
}

/** EX_DATAERR and EX_TEMPFAIL of sysexits.h. */
const dataError = 65;
const temporaryFailure = 75;
/** A shell says by 128 + N that a command of it was ended by signal N. */
const signalBase = 128;
const abort = signalBase + 6;
/** Share of the limit from which a death that looks like one by memory is believed to be one. */
const nearLimit = 0.7;
const heapMessage = /heap out of memory/i;
const memoryMessage =
  /\bMemoryError\b|std::bad_alloc|Cannot allocate memory|\bENOMEM\b|Array buffer allocation failed|java\.lang\.OutOfMemoryError/;

/** What a command's end says about its attempt; see docs/workers.md. */
export function endOfCommand(ending: Ending, limits: Limits, againSeconds: number): AttemptEnd {
  const forced = endByForce(ending, limits);
  if (forced !== null) return forced;
  const { exitCode, lastLines } = ending;
  switch (exitCode) {
    case 0:
      return { kind: 'done' };
    case dataError:
      return {
        kind: 'discarded',
        message: withLines(`It ended with exit code ${exitCode}: don't try again.`, lastLines),
      };
    case temporaryFailure: {
      const message = withLines(`It ended with exit code ${exitCode}: try again later.`, lastLines);
      return { kind: 'again', seconds: againSeconds, message };
    }
    default:
      return { kind: 'error', message: withLines(`It ended with exit code ${exitCode}.`, lastLines), exitCode };
  }
}

/** What the end of a kept program, before it answered, says about the attempt that it ran. */
export function endOfKept(ending: Ending, limits: Limits): AttemptEnd {
  const forced = endByForce(ending, limits);
  if (forced !== null) return forced;
  const message = `It ended with exit code ${ending.exitCode} before it answered.`;
  return { kind: 'crash', message: withLines(message, ending.lastLines), signal: null };
}

/** Ends that the program did not choose; null for any other. */
function endByForce(ending: Ending, limits: Limits): AttemptEnd | null {
  const { exitCode, lastLines, stopped } = ending;
  if (stopped?.kind === 'interrupted') return { kind: 'interrupted', reason: stopped.reason };
  const proof = oomProof(ending, limits);
  if (proof !== null) return { kind: 'oom', proof, message: withLines(tooMuchMemory(ending, limits), lastLines) };
  if (stopped?.kind === 'timeout') {
    const message = `It ran longer than ${limits.timeoutSeconds} s and was ended.`;
    return { kind: 'timeout', message: withLines(message, lastLines) };
  }
  const signal = ending.signal ?? (exitCode === null ? null : signalOf(exitCode));
  if (signal === null) return null;
  return { kind: 'crash', message: withLines(`It was ended by ${signal}, which we didn't send.`, lastLines), signal };
}

function oomProof(ending: Ending, limits: Limits): OomProof | null {
  const { exitCode, signal, stopped, peakBytes } = ending;
  if (stopped?.kind === 'oom') return 'measured';
  if (ending.oomKills > 0) return 'cgroup';
  if (stopped !== null || exitCode === 0) return null;
  const isNear = peakBytes >= limits.memoryBytes * nearLimit;
  const text = ending.lastLines.join('\n');
  if (heapMessage.test(text)) return 'runtime';
  if (isNear && (memoryMessage.test(text) || exitCode === abort || signal === 'SIGABRT')) return 'runtime';
  // The kernel's own choice when the whole computer or container runs out, faster than our looks.
  if (isNear && (signal === 'SIGKILL' || exitCode === signalBase + constants.signals.SIGKILL)) return 'runtime';
  return null;
}

function tooMuchMemory({ stopped, peakBytes }: Ending, { memoryBytes }: Limits): string {
  const used = stopped?.kind === 'oom' ? stopped.bytes : peakBytes;
  const seen = used > memoryBytes ? `${mebibytes(used)} were in use, ` : '';
  return `It ran out of memory: ${seen}its limit is ${mebibytes(memoryBytes)}.`;
}

function signalOf(exitCode: number): string | null {
  const number = exitCode - signalBase;
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? null;
}

/** Of the lines that are known. */
const shownLines = 20;

function withLines(message: string, lines: readonly string[]): string {
  return lines.length === 0 ? message : `${message} Its last lines:\n${lines.slice(-shownLines).join('\n')}`;
}
