import { closeSync, constants, fstatSync, openSync, readSync, watch } from 'node:fs';

/** Bytes; of more at once only the end is read. */
const mostAtOnce = 64 * 1024;

/** A share from 0 to 1, or an object that the program chose. */
export type Progress = number | Record<string, unknown>;

/** @returns null for what is neither. */
export function parseProgress(value: unknown): Progress | null {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : null;
  return isRecord(value) ? value : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Follows the file that a program appends its progress to. Of several new lines the last good one counts; others are left out.
 *
 * @returns stops following, after a last look.
 */
export function followProgress(path: string, onProgress: (progress: Progress) => void): () => void {
  // Opened once: what the program later puts under this name is none of ours.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  let at = 0;
  let rest = '';
  const look = (): void => {
    const { size } = fstatSync(file);
    if (size < at) [at, rest] = [0, '']; // begun anew
    if (size - at > mostAtOnce) [at, rest] = [size - mostAtOnce, ''];
    const buffer = Buffer.alloc(size - at);
    at += readSync(file, buffer, 0, buffer.length, at);
    const lines = (rest + buffer.toString('utf8')).split('\n');
    rest = (lines.pop() ?? '').slice(0, mostAtOnce);
    const last = lines.map(readLine).findLast((progress) => progress !== null);
    if (last !== undefined) onProgress(last);
  };
  const watcher = watch(path, { persistent: false }, look);
  watcher.on('error', () => undefined); // the last look still comes
  return () => {
    watcher.close();
    look();
    closeSync(file);
  };
}

function readLine(line: string): Progress | null {
  try {
    return parseProgress(JSON.parse(line));
  } catch {
    return null;
  }
}
