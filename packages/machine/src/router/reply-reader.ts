/**
 * Reads HTTP/1.1 replies (RFC 9112) from one backend connection.
 *
 * Strict on purpose: what two readers could understand differently (bare line feeds, folded lines, a length beside an
 * encoding, two lengths) is refused, because the client's connection carries other people's replies after this one.
 *
 * | phase | reads until |
 * | --- | --- |
 * | idle        | nothing: bytes that come now were not asked for |
 * | head        | the empty line after the fields; stays for 1xx, which come before the reply |
 * | fixed       | `Content-Length` bytes were passed on |
 * | chunk-size  | the end of a chunk's size line |
 * | chunk-data  | the chunk's bytes were passed on |
 * | chunk-end   | the line end after a chunk |
 * | trailers    | the empty line after the trailer fields |
 * | until-close | the backend closes |
 * | tunnel      | for ever: after 101 the bytes belong to another protocol |
 */
type Phase =
  | 'idle'
  | 'head'
  | 'fixed'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers'
  | 'until-close'
  | 'tunnel';

/** What the reader found, in this order: any number of `informational`, then `switched`, or `head`, `data` ..., `end`. */
export interface ReplyListener {
  informational(status: number): void;
  head(head: ReplyHead): void;
  /** The head came alone: its body may be long in coming, so it must not wait for it. */
  headAlone(): void;
  data(chunk: Buffer): void;
  /** The reply is complete. `last` is its last bytes, not given to `data`. `trailers` as name, value, name, value. */
  end(last: Buffer | null, trailers: string[]): void;
  /** The backend agreed to another protocol; `rest` is its first bytes. */
  switched(head: ReplyHead, rest: Buffer): void;
}

export interface ReplyHead {
  status: number;
  reason: string;
  /** All fields as they came, as name, value, name, value. */
  fields: string[];
  /** Fields that `Connection` names, lower case, without `close` and `keep-alive`. */
  connection: readonly string[];
  /** Bytes of the body; null: not known before its end. */
  length: number | null;
}

/** The backend's bytes are no valid reply. */
export class BadReply extends Error {}

const HEAD_LIMIT = 256 * 1024;
const LINE_LIMIT = 16 * 1024;
const NONE: readonly string[] = [];
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const FORBIDDEN_IN_VALUE = /[\0-\x08\x0a-\x1f\x7f]/;

export class ReplyReader {
  #phase: Phase = 'idle';
  #listener: ReplyListener | null = null;
  #method = '';
  #upgrading = false;
  /** Bytes of an unfinished line or head. */
  #rest: Buffer | null = null;
  #left = 0;
  /** Body bytes of this read, kept back until it is known whether they are the last: most replies fit in one read. */
  #kept: Buffer | null = null;
  #keepAlive = false;
  #keepAliveSeconds: number | null = null;
  #begun = false;
  #headAlone = false;

  /** Whether any byte of the current reply came. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Whether the connection may carry another request once this reply has ended. */
  get reusable(): boolean {
    return this.#phase === 'idle' && this.#keepAlive;
  }

  /** Seconds the backend said it keeps the idle connection; null: it did not say. */
  get keepAliveSeconds(): number | null {
    return this.#keepAliveSeconds;
  }

  /** Begins to read the reply to a request; `upgrading` when it asked for another protocol. */
  expect(listener: ReplyListener, method: string, upgrading: boolean): void {
    this.#listener = listener;
    this.#method = method;
    this.#upgrading = upgrading;
    this.#phase = 'head';
    this.#begun = false;
    this.#keepAlive = false;
  }

  /** @throws {BadReply} when the bytes are not a valid reply; the connection must be destroyed then. */
  read(chunk: Buffer): void {
    this.#begun = true;
    let bytes = chunk;
    if (this.#rest !== null) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = null;
    }
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      if (next < 0) {
        this.#rest = bytes.subarray(at);
        break;
      }
      at = next;
    }
    if (this.#kept !== null) {
      const kept = this.#kept;
      this.#kept = null;
      this.#listener?.data(kept);
    } else if (this.#headAlone) this.#listener?.headAlone();
    this.#headAlone = false;
  }

  /** The backend closed. True when that is how this reply ends. */
  closed(): boolean {
    if (this.#phase !== 'until-close') return false;
    this.#finish([]);
    return true;
  }

  /** Reads one piece; returns the place after it, or -1 when its end has not come yet. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#phase) {
      case 'idle':
        throw new BadReply('it sent more than one reply to a request');
      case 'head':
        return this.#readHead(bytes, at);
      case 'fixed':
      case 'chunk-data': {
        const end = Math.min(bytes.length, at + this.#left);
        this.#left -= end - at;
        this.#keep(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
        if (this.#left > 0) return end;
        if (this.#phase === 'fixed') this.#finish([]);
        else this.#phase = 'chunk-end';
        return end;
      }
      case 'chunk-size': {
        const end = lineEnd(bytes, at);
        if (end < 0) return -1;
        this.#left = chunkSize(bytes.toString('latin1', at, end));
        this.#phase = this.#left === 0 ? 'trailers' : 'chunk-data';
        return end + 2;
      }
      case 'chunk-end':
        if (bytes.length - at < 2) return -1;
        if (bytes[at] !== 13 || bytes[at + 1] !== 10) throw new BadReply('a chunk is longer than its size says');
        this.#phase = 'chunk-size';
        return at + 2;
      case 'trailers': {
        if (bytes[at] === 13 && bytes[at + 1] === 10) {
          this.#finish([]);
          return at + 2;
        }
        const end = bytes.indexOf('\r\n\r\n', at, 'latin1');
        if (end < 0) {
          if (bytes.length - at > LINE_LIMIT) throw new BadReply('its trailers are too long');
          return -1;
        }
        this.#finish(readFields(bytes.toString('latin1', at, end).split('\r\n'), 0));
        return end + 4;
      }
      case 'until-close':
        this.#keep(bytes.subarray(at));
        break;
      case 'tunnel':
    }
    return bytes.length;
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (end < 0) {
      if (bytes.length - at > HEAD_LIMIT) throw new BadReply(`its headers are longer than ${HEAD_LIMIT / 1024} KiB`);
      return -1;
    }
    const lines = bytes.toString('latin1', at, end).split('\r\n');
    const [line, minor, code, reason] = STATUS_LINE.exec(lines[0] ?? '') ?? [];
    if (line === undefined) throw new BadReply('its first line is no HTTP/1.1 status line');
    const status = Number(code);
    const fields = readFields(lines, 1);
    const listener = this.#listener;
    if (status === 101) {
      if (!this.#upgrading) throw new BadReply('it switched protocols without being asked');
      this.#phase = 'tunnel';
      listener?.switched(
        { status, reason: reason ?? '', fields, connection: NONE, length: null },
        bytes.subarray(end + 4),
      );
      return bytes.length;
    }
    if (status < 200) {
      listener?.informational(status);
      return end + 4;
    }
    const head = this.#frame(status, minor === '1', reason ?? '', fields);
    this.#headAlone = true;
    listener?.head(head);
    if (this.#phase === 'idle') this.#complete([]);
    return end + 4;
  }

  /** Decides where the body ends: RFC 9112, 6.3. */
  #frame(status: number, persistent: boolean, reason: string, fields: string[]): ReplyHead {
    let length: number | null = null;
    let encoding: string | null = null;
    let connection = NONE;
    this.#keepAlive = persistent;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? '';
      const value = fields[i + 1] ?? '';
      // Lengths first: lowering every name would cost more than all the rest of this loop.
      if (name.length === 14 && name.toLowerCase() === 'content-length') {
        if (!/^\d{1,15}$/.test(value) || (length !== null && length !== Number(value))) {
          throw new BadReply('its Content-Length is not one number');
        }
        length = Number(value);
      } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
        if (encoding !== null) throw new BadReply('it has two Transfer-Encodings');
        encoding = value.toLowerCase();
      } else if (name.length === 10 && name.toLowerCase() === 'keep-alive') {
        const seconds = /timeout=(\d{1,6})/i.exec(value)?.[1];
        if (seconds !== undefined) this.#keepAliveSeconds = Number(seconds);
      } else if (name.length === 10 && name.toLowerCase() === 'connection') {
        const tokens = value
          .toLowerCase()
          .split(',')
          .map((token) => token.trim());
        if (tokens.includes('close')) this.#keepAlive = false;
        else if (tokens.includes('keep-alive')) this.#keepAlive = true;
        const named = tokens.filter((token) => token !== 'close' && token !== 'keep-alive' && token !== '');
        if (named.length > 0) connection = [...connection, ...named];
      }
    }
    if (encoding !== null && length !== null) throw new BadReply('it has both Content-Length and Transfer-Encoding');
    if (encoding !== null && encoding !== 'chunked') throw new BadReply('its Transfer-Encoding is not chunked');
    this.#left = length ?? 0;
    if (this.#method === 'HEAD' || status === 204 || status === 304 || length === 0) this.#phase = 'idle';
    else if (encoding !== null) this.#phase = 'chunk-size';
    else if (length !== null) this.#phase = 'fixed';
    else {
      this.#phase = 'until-close';
      this.#keepAlive = false;
    }
    return { status, reason, fields, connection, length };
  }

  #keep(bytes: Buffer): void {
    if (this.#kept !== null) this.#listener?.data(this.#kept);
    this.#headAlone = false;
    this.#kept = bytes;
  }

  #finish(trailers: string[]): void {
    this.#phase = 'idle';
    this.#complete(trailers);
  }

  #complete(trailers: string[]): void {
    const listener = this.#listener;
    const last = this.#kept;
    this.#kept = null;
    this.#listener = null;
    listener?.end(last, trailers);
  }
}

function readFields(lines: string[], from: number): string[] {
  const fields: string[] = [];
  for (let i = from; i < lines.length; i += 1) {
    const line = lines[i] ?? '';
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    if (colon < 1 || !NAME.test(name) || FORBIDDEN_IN_VALUE.test(value))
      throw new BadReply('one of its header lines is malformed');
    fields.push(name, value);
  }
  return fields;
}

function lineEnd(bytes: Buffer, at: number): number {
  const end = bytes.indexOf('\r\n', at, 'latin1');
  if (end < 0 && bytes.length - at > LINE_LIMIT) throw new BadReply('a chunk size line is too long');
  return end;
}

function chunkSize(line: string): number {
  // Extensions are dropped: RFC 9112, 7.1.1 lets every recipient ignore them.
  const semicolon = line.indexOf(';');
  const size = (semicolon < 0 ? line : line.slice(0, semicolon)).trimEnd();
  if (!/^[0-9A-Fa-f]{1,12}$/.test(size)) throw new BadReply('a chunk size is no hexadecimal number');
  return Number.parseInt(size, 16);
}
