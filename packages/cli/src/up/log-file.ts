import { closeSync, copyFileSync, openSync, readSync, renameSync, statSync, truncateSync } from 'node:fs';

/** Above this a log is moved aside; with the one aside a log takes at most twice as much. */
const LIMIT_BYTES = 8 * 1024 * 1024;
const TAIL_BYTES = 16 * 1024;

/** Opens a log to append to, after moving a long one aside. @returns the descriptor, to be closed by the caller. */
export function openLog(file: string): number {
  if (sizeOf(file) > LIMIT_BYTES) renameSync(file, `${file}.old`);
  return openSync(file, 'a', 0o600);
}

/**
 * Keeps a log below its limit while a process writes to it. Its descriptor appends, so a file cut to nothing goes on at its
 * start; lines written between the copy and the cut are lost, which is why only a log over the limit is touched.
 */
export function capLog(file: string): void {
  if (sizeOf(file) <= LIMIT_BYTES) return;
  copyFileSync(file, `${file}.old`);
  truncateSync(file);
}

/** The last lines that were written after the byte `from`, oldest first. */
export function lastLines(file: string, from: number, count: number): string[] {
  const size = sizeOf(file);
  const start = Math.max(from, size - TAIL_BYTES);
  if (size <= start) return [];
  const buffer = Buffer.alloc(size - start);
  const descriptor = openSync(file, 'r');
  const length = readSync(descriptor, buffer, 0, buffer.length, start);
  closeSync(descriptor);
  return buffer.toString('utf8', 0, length).trimEnd().split('\n').slice(-count);
}

/**
 * What a process said last: the error it ended with when there is one, else its last lines.
 *
 * @param from Byte at which its log began.
 */
export function lastWords(file: string, from: number): string[] {
  const lines = lastLines(file, from, 40);
  const error = lines.findLastIndex((line) => line.startsWith('slipway:'));
  return error === -1 ? lines.slice(-8) : lines.slice(error, error + 12);
}

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
