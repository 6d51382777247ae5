import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { callbackify } from 'node:util';
import { ObjectDamaged } from './object-errors.ts';

export interface StoredObject {
  key: string;
  bytes: number;
  /** Of the content, lower-case hexadecimal. */
  sha256: string;
}

export interface ListedObject {
  key: string;
  bytes: number;
  /** When it became visible, by the store's clock: milliseconds since 1970. */
  modifiedAt: number;
}

/**
 * Where payloads and files of tasks are kept. Keys look like paths: `output/17/1-3/image.png`; see `assertKey` for what they may
 * contain. A key must not be the folder of another one. Every function throws ObjectStoreDown when the store doesn't work.
 */
export interface ObjectStore {
  /**
   * Becomes visible in one step, whole or not at all, and is durable when this returns. Of several puts to one key at the same
   * time, one wins. An error of the body itself is thrown as it is.
   */
  put(key: string, body: Uint8Array | Readable): Promise<StoredObject>;
  /** Null: there is none. Read the stream to its end, or destroy it; one that is cut off ends with ObjectStoreDown. */
  get(key: string): Promise<Readable | null>;
  /** Every object whose key begins with `prefix`, in no promised order. What is put or deleted meanwhile may be in it or not. */
  list(prefix: string): AsyncIterable<ListedObject>;
  /** Those that don't exist are fine. */
  delete(keys: readonly string[]): Promise<void>;
  /**
   * Frees what puts left behind that were interrupted (a killed process) and have not moved on since `before` (milliseconds since
   * 1970). Nobody sees these, but they take room.
   *
   * @returns How many there were.
   */
  discardUnfinished(before: number): Promise<number>;
}

/** The chunks of a body as bytes, whatever the stream's encoding. */
export async function* bytesOf(body: Uint8Array | Readable): AsyncGenerator<Uint8Array> {
  if (body instanceof Uint8Array) return yield body;
  for await (const chunk of body as AsyncIterable<unknown>) {
    if (chunk instanceof Uint8Array) yield chunk;
    else if (typeof chunk === 'string') yield Buffer.from(chunk);
    else throw new TypeError(`a body is a stream of bytes, not of ${typeof chunk}`);
  }
}

/**
 * A stream over a source of the store. Unlike `Readable.from`, it closes the source also when nobody ever read from it.
 *
 * @param source.next The next bytes; null at the end.
 * @param source.explain Makes ObjectStoreDown of what `next` threw.
 */
export function readableOf(source: {
  next: () => Promise<Uint8Array | null>;
  close: () => Promise<void>;
  explain: (error: unknown) => Error;
}): Readable {
  return new Readable({
    read() {
      source.next().then(
        (chunk) => this.push(chunk),
        (error: unknown) => this.destroy(source.explain(error)),
      );
    },
    destroy(error, callback) {
      callbackify(source.close)(() => callback(error));
    },
  });
}

/**
 * Passes content on and throws, at its end, when it isn't what was put.
 *
 * @param what For the message: `the payload`.
 * @throws {ObjectDamaged}
 */
export async function* verified(
  content: AsyncIterable<Uint8Array>,
  expected: { key: string; bytes?: number; sha256?: string },
  what: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.byteLength;
    // Not only at the end, so that a swollen object doesn't fill memory or disk first.
    if (expected.bytes !== undefined && bytes > expected.bytes) break;
    hash.update(chunk);
    yield chunk;
  }
  if (expected.bytes !== undefined && bytes !== expected.bytes) {
    const found = bytes > expected.bytes ? 'more' : `only ${bytes}`;
    throw new ObjectDamaged(expected.key, what, `it should have ${expected.bytes} bytes and has ${found}`);
  }
  const sha256 = hash.digest('hex');
  if (expected.sha256 !== undefined && sha256 !== expected.sha256) {
    throw new ObjectDamaged(expected.key, what, `its SHA-256 should be ${expected.sha256} and is ${sha256}`);
  }
}
