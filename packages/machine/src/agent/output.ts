import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import type { ProcessFolder } from './process-folder.ts';

/** Bytes of one line that are kept; the rest of a longer line is left out, and the line says so. */
export const lineLimit = 16 * 1024;
/** What one process may write in a second before its output is slowed down: bytes, and lines (each costs more than its bytes). */
export const floodBytes = 4 * 1024 * 1024;
export const floodLines = 20_000;
const windowMs = 1000;
/** The operator is told about a flood until this long after its end. */
const floodRemembered = 10_000;
/** Lines that a failure may quote. */
const tailLines = 200;

export interface OutputOptions {
  line: (stream: 'stdout' | 'stderr', text: string) => void;
  /** Reading was slowed down (true), or has been at full speed for a while (false). */
  flood: (now: boolean) => void;
}

/** The output of one process, read through its FIFOs. */
export interface Output {
  /** Resolves when nothing can write to it any more, and every line of it was given out. */
  readonly ended: Promise<void>;
  /** The last lines of both streams, oldest first, at most `count`. */
  tail(count: number): string[];
  /** Stops reading; what is not read stays in the FIFO for the next reader, as long as a process holds it open. */
  close(): void;
}

/**
 * Reads both FIFOs. Back-pressure is the only remedy against a flood that loses nothing: once a process has written its
 * share of a second, nothing more is read until the second is over, and the process waits in write(2).
 */
export function readOutput(folder: ProcessFolder, options: OutputOptions): Output {
  const tail: string[] = [];
  const budget = new Budget(options.flood);
  const readers = (['stdout', 'stderr'] as const).map((stream) =>
    readLines(folder[stream], budget, (text) => {
      tail.push(text);
      if (tail.length > tailLines * 2) tail.splice(0, tail.length - tailLines);
      options.line(stream, text);
    }),
  );
  return {
    ended: Promise.all(readers.map((reader) => reader.ended)).then(() => budget.stop()),
    tail: (count) => tail.slice(-count),
    close() {
      for (const reader of readers) reader.close();
      budget.stop();
    },
  };
}

class Budget {
  readonly #flood: (now: boolean) => void;
  readonly #paused = new Set<Socket>();
  #began = 0;
  #bytes = 0;
  #lines = 0;
  #flooding = false;
  #resume: NodeJS.Timeout | undefined;
  #calm: NodeJS.Timeout | undefined;

  constructor(flood: (now: boolean) => void) {
    this.#flood = flood;
  }

  spend(bytes: number, lines: number, socket: Socket): void {
    const now = performance.now();
    if (now - this.#began >= windowMs) {
      this.#began = now;
      this.#bytes = 0;
      this.#lines = 0;
    }
    this.#bytes += bytes;
    this.#lines += lines;
    if (this.#bytes < floodBytes && this.#lines < floodLines) return;
    socket.pause();
    this.#paused.add(socket);
    this.#resume ??= setTimeout(() => this.#endPause(), windowMs - (now - this.#began));
    if (!this.#flooding) this.#flood(true);
    this.#flooding = true;
    clearTimeout(this.#calm);
    this.#calm = setTimeout(() => {
      this.#flooding = false;
      this.#flood(false);
    }, floodRemembered);
    this.#calm.unref();
  }

  #endPause(): void {
    this.#resume = undefined;
    for (const socket of this.#paused) socket.resume();
    this.#paused.clear();
  }

  stop(): void {
    clearTimeout(this.#resume);
    clearTimeout(this.#calm);
    if (this.#flooding) this.#flood(false);
    this.#flooding = false;
  }
}

function readLines(
  path: string,
  budget: Budget,
  give: (line: string) => void,
): { ended: Promise<void>; close: () => void } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  // An agent that has nothing else to do may end while apps run.
  socket.unref();
  const decoder = new StringDecoder('utf8');
  let partial = '';
  let cut = 0;
  let closed = false;

  /** `end`: this text ends its line. */
  function add(text: string, end: boolean): void {
    const room = lineLimit - partial.length;
    if (text.length > room) cut += text.length - room;
    partial += room > 0 ? text.slice(0, room) : '';
    if (!end) return;
    if (partial.endsWith('\r')) partial = partial.slice(0, -1);
    give(cut === 0 ? partial : `${partial} [${cut} more characters left out]`);
    partial = '';
    cut = 0;
  }

  socket.on('data', (chunk: Buffer) => {
    const parts = decoder.write(chunk).split('\n');
    parts.forEach((part, index) => add(part, index < parts.length - 1));
    budget.spend(chunk.length, parts.length - 1, socket);
  });
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      // A closed reader leaves the rest to the next one; only the true end completes a last line without a newline.
      if (!closed && partial !== '') add('', true);
      resolve();
    });
  });
  socket.on('error', () => socket.destroy());
  return {
    ended,
    close() {
      closed = true;
      socket.destroy();
    },
  };
}
