import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { appendFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogLine } from '@slipway/engine';
import { isDiskFull } from './files.ts';
import { messageOf } from './thrown.ts';

export interface LogLimits {
  /** Bytes after which a file is put aside. */
  fileBytes: number;
  /** Files of one source, the current one included. */
  files: number;
}

export const logLimits: LogLimits = { fileBytes: 8 * 1024 * 1024, files: 3 };
/** Bytes that may wait for the disk; beyond that lines are dropped, with a notice. */
const pendingLimit = 16 * 1024 * 1024;

/**
 * The log lines of one environment: one set of rotated files of JSON lines per source. Writing never throws and never waits: what
 * the disk can't take is dropped, and `trouble` says so until it can again.
 */
export class EnvironmentLogs {
  readonly #folder: string;
  readonly #limits: LogLimits;
  readonly #trouble: (notice: string | null) => void;
  readonly #sources = new Map<string, SourceLog>();
  readonly #followers = new Set<(line: LogLine) => void>();
  readonly #enders = new Set<() => void>();
  #closed = false;

  constructor(folder: string, trouble: (notice: string | null) => void, limits: LogLimits = logLimits) {
    this.#folder = folder;
    this.#trouble = trouble;
    this.#limits = limits;
  }

  write(line: LogLine): void {
    if (this.#closed) return;
    this.#source(line.source).append(`${JSON.stringify(line)}\n`);
    for (const follower of this.#followers) follower(line);
  }

  /**
   * Past lines, oldest first, and with `follow` the lines from then on: none is missed or given twice.
   *
   * @param source null: every source, merged by time.
   */
  async *read(source: string | null, lines: number, follow: boolean, signal: AbortSignal): AsyncGenerator<LogLine> {
    const names = source === null ? await this.#names() : [source];
    // What somebody was shown survives a kill of the agent: it is on disk before it is shown, unless the disk hangs.
    const written = Promise.all(names.map((name) => this.#source(name).idle()));
    await Promise.race([written, delay(1_000, undefined, { ref: false })]);
    // From here to `add` nothing may wait: the past ends exactly where following begins.
    const pasts = names.map((name) => this.#source(name).snapshot());
    const waiting: LogLine[] = [];
    let wake: (() => void) | null = null;
    let ended = this.#closed;
    const ring = (): void => wake?.();
    const follower = (line: LogLine): void => {
      if (source !== null && line.source !== source) return;
      waiting.push(line);
      ring();
    };
    const ender = (): void => {
      ended = true;
      ring();
    };
    if (follow) {
      this.#followers.add(follower);
      this.#enders.add(ender);
    }
    signal.addEventListener('abort', ring);
    try {
      const past = pasts.flatMap((snapshot) => lastLines(snapshot, lines));
      if (pasts.length > 1) past.sort((a, b) => a.at - b.at);
      yield* past.slice(lines === 0 ? past.length : -lines);
      if (!follow) return;
      while (!signal.aborted) {
        const line = waiting.shift();
        if (line !== undefined) yield line;
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#followers.delete(follower);
      this.#enders.delete(ender);
      signal.removeEventListener('abort', ring);
    }
  }

  /** Resolves when all lines so far are written, or dropped. */
  async flushed(): Promise<void> {
    await Promise.all([...this.#sources.values()].map((source) => source.idle()));
  }

  /** Ends followers; nothing is written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#enders) end();
    await this.flushed();
  }

  #source(name: string): SourceLog {
    return this.#sources.getOrInsertComputed(
      name,
      () => new SourceLog(join(this.#folder, `${encodeURIComponent(name)}.jsonl`), this.#limits, this.#trouble),
    );
  }

  async #names(): Promise<string[]> {
    const files = await readdir(this.#folder).catch(() => []);
    const found = files.map((file) => decodeURIComponent(file.replace(/\.jsonl(\.\d+)?$/, '')));
    return [...new Set([...found, ...this.#sources.keys()])].sort();
  }
}

interface Snapshot {
  /** Open files, newest first, with the bytes of each that count. */
  files: { fd: number; bytes: number }[];
  /** Lines that the disk does not have yet. */
  pending: string;
}

class SourceLog {
  readonly #path: string;
  readonly #limits: LogLimits;
  readonly #trouble: (notice: string | null) => void;
  #bytes: number;
  #writing = '';
  #pending = '';
  #busy: Promise<void> | null = null;
  #dropped = 0;
  /** After a write that failed half-way, so that the next line does not join its stump. */
  #prefix = '';

  constructor(path: string, limits: LogLimits, trouble: (notice: string | null) => void) {
    this.#path = path;
    this.#limits = limits;
    this.#trouble = trouble;
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  append(text: string): void {
    if (this.#pending.length > pendingLimit) this.#drop(1, 'the disk is too slow');
    else this.#pending += text;
    this.#busy ??= this.#drain();
  }

  async idle(): Promise<void> {
    while (this.#busy !== null) await this.#busy;
  }

  snapshot(): Snapshot {
    const files: Snapshot['files'] = [];
    for (let index = 0; index < this.#limits.files; index += 1) {
      try {
        const fd = openSync(index === 0 ? this.#path : `${this.#path}.${index}`, 'r');
        files.push({ fd, bytes: index === 0 ? this.#bytes : Number.MAX_SAFE_INTEGER });
      } catch {
        // not there (yet)
      }
    }
    return { files, pending: this.#writing + this.#pending };
  }

  async #drain(): Promise<void> {
    while (this.#pending !== '') {
      this.#writing = this.#pending;
      this.#pending = '';
      try {
        if (this.#bytes > this.#limits.fileBytes) await this.#rotate();
        if (this.#bytes === 0) await mkdir(join(this.#path, '..'), { recursive: true, mode: 0o700 });
        await appendFile(this.#path, this.#prefix + this.#writing, { mode: 0o600 });
        this.#bytes += Buffer.byteLength(this.#prefix + this.#writing);
        this.#prefix = '';
        if (this.#dropped > 0) this.#trouble(null);
        this.#dropped = 0;
      } catch (error) {
        this.#bytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
        this.#prefix = '\n';
        const reason = isDiskFull(error) ? 'the disk is full' : `they can't be written: ${messageOf(error)}`;
        this.#drop(this.#writing.split('\n').length - 1, reason);
      }
      this.#writing = '';
    }
    this.#busy = null;
  }

  async #rotate(): Promise<void> {
    for (let index = this.#limits.files - 1; index >= 1; index -= 1) {
      const from = index === 1 ? this.#path : `${this.#path}.${index - 1}`;
      await rename(from, `${this.#path}.${index}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    if (this.#limits.files === 1) await rm(this.#path, { force: true });
    this.#bytes = 0;
  }

  #drop(lines: number, reason: string): void {
    this.#dropped += lines;
    this.#trouble(
      `Log lines are dropped, because ${reason}. The apps go on. Make room on the disk of the agent's folder; logging then goes on by itself.`,
    );
  }
}

/** The last lines of a snapshot, oldest first; closes its files. Reads backwards, so that a large log costs no more than a small one. */
function lastLines(snapshot: Snapshot, count: number): LogLine[] {
  let texts = snapshot.pending.split('\n').filter((text) => text !== '');
  try {
    for (const file of snapshot.files) {
      if (texts.length >= count) break;
      texts = [...tailOf(file.fd, file.bytes, count - texts.length), ...texts];
    }
  } finally {
    for (const file of snapshot.files) closeSync(file.fd);
  }
  return texts.slice(count === 0 ? texts.length : -count).flatMap((text) => {
    try {
      const line: LogLine = JSON.parse(text);
      return [line];
    } catch {
      return []; // cut off by a full disk or a power loss
    }
  });
}

const block = 256 * 1024;

function tailOf(fd: number, limit: number, count: number): string[] {
  const chunks: Buffer[] = [];
  let newlines = 0;
  let position = Math.min(limit, fstatSync(fd).size);
  while (position > 0 && newlines <= count) {
    const length = Math.min(block, position);
    position -= length;
    const chunk = Buffer.alloc(length);
    readSync(fd, chunk, 0, length, position);
    for (const byte of chunk) if (byte === 10) newlines += 1;
    chunks.unshift(chunk);
  }
  const texts = Buffer.concat(chunks).toString('utf8').split('\n');
  if (position > 0) texts.shift(); // begins in the middle of a line
  return texts.filter((text) => text !== '').slice(-count);
}
