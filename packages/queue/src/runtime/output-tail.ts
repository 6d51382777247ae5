import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** What is kept of a program's output: enough to understand its end, whatever it writes; V8 has a trace of some 20 lines after what matters. */
const keptLines = 40;
/** Characters; the rest of a longer line is dropped while it comes in. */
const longestLine = 500;

/** The last lines of a program's stdout and stderr, in the order of arrival. Memory is bounded, also for a line that never ends. */
export class OutputTail {
  #lines: string[] = [];
  readonly #open: { text: string }[] = [];
  readonly #onLine: (line: string) => void;

  /** `onLine` gets each whole line, cut to 500 characters. */
  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Resolves when the stream has ended. */
  read(stream: Readable): Promise<void> {
    const decoder = new StringDecoder('utf8');
    const line = { text: '' };
    this.#open.push(line);
    stream.on('data', (chunk: Buffer) => this.#add(line, decoder.write(chunk)));
    return new Promise((resolve) => {
      stream.on('error', () => undefined); // it is closed next
      stream.on('close', () => {
        this.#open.splice(this.#open.indexOf(line), 1);
        if (line.text !== '') this.#keep(line.text);
        resolve();
      });
    });
  }

  /** What comes from now on belongs to another attempt. */
  clear(): void {
    this.#lines = [];
  }

  get lines(): string[] {
    const unfinished = this.#open.map((line) => line.text).filter((text) => text !== '');
    return [...this.#lines, ...unfinished.map(cut)].slice(-keptLines);
  }

  #add(line: { text: string }, text: string): void {
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#keep(line.text + text.slice(from, Math.min(end, from + longestLine + 1)));
      line.text = '';
      from = end + 1;
    }
    if (line.text.length <= longestLine) line.text += text.slice(from, from + longestLine + 1);
  }

  #keep(text: string): void {
    const line = cut(text);
    this.#lines.push(line);
    if (this.#lines.length > keptLines) this.#lines.shift();
    this.#onLine(line);
  }
}

function cut(text: string): string {
  return text.length > longestLine ? `${text.slice(0, longestLine)}…` : text;
}
