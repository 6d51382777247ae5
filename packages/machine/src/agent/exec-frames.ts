/**
 * How an exec session travels over its connection after the upgrade: frames of one byte kind, four bytes length, data.
 *
 * | kind | from | data |
 * | --- | --- | --- |
 * | stdin  | client | bytes; none: the end of the input |
 * | stdout | agent  | bytes |
 * | stderr | agent  | bytes |
 * | exit   | agent  | JSON `{exitCode}`; the last frame |
 * | error  | agent  | JSON problem; the last frame |
 */
export type FrameKind = 'stdin' | 'stdout' | 'stderr' | 'exit' | 'error';

const kinds: readonly FrameKind[] = ['stdin', 'stdout', 'stderr', 'exit', 'error'];
const headBytes = 5;
/** Larger data is cut into several frames, so that no peer has to hold more than this. */
const longestFrame = 1024 * 1024;

export function frame(kind: FrameKind, data: Uint8Array | string): Buffer {
  const body = typeof data === 'string' ? Buffer.from(data) : data;
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(kinds.indexOf(kind));
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Puts frames together from chunks. @throws {Error} on what is no frame. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Uint8Array): { kind: FrameKind; data: Buffer }[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames: { kind: FrameKind; data: Buffer }[] = [];
    while (this.#rest.length >= headBytes) {
      const length = this.#rest.readUInt32BE(1);
      const kind = kinds[this.#rest.readUInt8(0)];
      if (kind === undefined || length > longestFrame) throw new Error('not an exec frame');
      if (this.#rest.length < headBytes + length) break;
      frames.push({ kind, data: this.#rest.subarray(headBytes, headBytes + length) });
      this.#rest = this.#rest.subarray(headBytes + length);
    }
    return frames;
  }
}

/** Cuts data so that each piece fits into one frame. */
export function pieces(data: Uint8Array): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += longestFrame) cut.push(data.subarray(at, at + longestFrame));
  return cut;
}
