import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { ObjectRefused } from './object-errors.ts';
import { assertKey } from './object-key.ts';
import { bytesOf, readableOf, type ListedObject, type ObjectStore, type StoredObject } from './object-store.ts';
import { elementsOf, s3Client, type S3Client, type S3Credentials, type S3Request, textOf } from './s3-client.ts';
import { ask, down, patientFetch, serviceCode } from './s3-requests.ts';

/** S3 takes parts of 5 MiB and more, and at most 10,000 of them: objects up to 78 GiB. Two parts are in memory at most. */
const PART_BYTES = 8 * 1024 * 1024;
const MOST_PARTS = 10_000;
/** What S3 allows for one request. */
const PAGE = 1_000;

export interface S3Options extends S3Credentials {
  /** `https://s3.eu-central-1.amazonaws.com`; buckets are addressed by path. */
  endpoint: string;
  /** Must exist. */
  bucket: string;
  region: string;
  /** Begins every key in the bucket, followed by a slash. Default: none. */
  prefix?: string;
  /** A request that doesn't move on for this long fails. A part of 8 MiB has to be sent within it. Default 60. */
  stallSeconds?: number;
}

type Part = Buffer<ArrayBuffer>;

interface Bucket {
  client: S3Client;
  /** For messages. */
  name: string;
  /** Key in the bucket, of a key or the beginning of one. */
  wire: (key: string) => string;
  /** Null: not one of ours. */
  key: (wire: string) => string | null;
}

/** An object store in a bucket of anything that speaks S3. Nothing is asked of it before the first use. */
export function s3Store(options: S3Options): ObjectStore {
  const { endpoint, bucket, region, accessKeyId, secretAccessKey, sessionToken, stallSeconds = 60 } = options;
  const base = endpoint.replace(/\/+$/, '');
  const start = options.prefix === undefined || options.prefix === '' ? '' : `${toWire(options.prefix)}/`;
  const client = s3Client({
    url: `${base}/${bucket}`,
    region,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    fetch: patientFetch(stallSeconds),
  });
  const at: Bucket = {
    client,
    name: `bucket ${bucket} at ${base}`,
    wire: (key) => start + toWire(key),
    key: (wire) => (wire.startsWith(start) ? fromWire(wire.slice(start.length)) : null),
  };
  return {
    put: async (key, body) => await put(at, key, body),
    get: async (key) => await get(at, key),
    list: (prefix) => list(at, prefix),
    delete: async (keys) => await remove(at, keys),
    discardUnfinished: async (before) => await discard(at, before),
  };
}

async function put(at: Bucket, key: string, body: Uint8Array | Readable): Promise<StoredObject> {
  assertKey(key);
  const wire = at.wire(key);
  const doing = `put ${JSON.stringify(key)}`;
  const hash = createHash('sha256');
  let bytes = 0;
  const parts = partsOf(bytesOf(body), (part) => {
    hash.update(part);
    bytes += part.byteLength;
  });
  try {
    const first = (await parts.next()).value ?? Buffer.alloc(0);
    const second = (await parts.next()).value;
    if (second === undefined) {
      const headers = { 'content-md5': md5(first), 'content-type': 'application/octet-stream' };
      await ask(at.name, doing, () => said(at, { method: 'PUT', key: wire, headers, body: first }));
    } else {
      await putInParts(at, wire, doing, [first, second], parts);
    }
  } finally {
    await parts.return(undefined); // ends the body, also when the store failed
  }
  return { key, bytes, sha256: hash.digest('hex') };
}

/** Visible only once it is completed. A process that dies before leaves an unfinished upload, see `discard`. */
async function putInParts(at: Bucket, wire: string, doing: string, begin: Part[], rest: AsyncIterable<Part>) {
  const begun = await ask(at.name, doing, () => said(at, { method: 'POST', key: wire, query: { uploads: '' } }));
  const uploadId = textOf(begun, 'UploadId');
  if (uploadId === null) throw down(at.name, doing, new Error('S3 gave no id for the upload'));
  try {
    const tags: string[] = [];
    const send = async (part: Part) => {
      const number = tags.length + 1;
      if (number > MOST_PARTS)
        throw new ObjectRefused(`can't ${doing}: it is larger than ${MOST_PARTS} parts of 8 MiB`);
      // The store compares it with what arrived, so that a part damaged on the way is refused.
      const headers = { 'content-md5': md5(part) };
      const query = { partNumber: String(number), uploadId };
      tags.push(await ask(at.name, doing, () => tagOf(at, { method: 'PUT', key: wire, query, headers, body: part })));
    };
    // Taken out one by one, so that those sent don't stay in memory.
    for (let part = begin.shift(); part !== undefined; part = begin.shift()) await send(part);
    for await (const part of rest) await send(part);
    const body = completion(tags);
    const done = await ask(at.name, doing, () => said(at, { method: 'POST', key: wire, query: { uploadId }, body }));
    // S3 may find out that it failed after it has answered 200; then the answer is an error without an ETag.
    if (!textOf(done, 'ETag')) throw down(at.name, doing, new Error('S3 did not complete it'));
  } catch (error) {
    await abandon(at, wire, uploadId).catch(() => undefined); // else `discard` finds it
    throw error;
  }
}

function completion(tags: readonly string[]): string {
  const parts = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`);
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
}

async function abandon(at: Bucket, wire: string, uploadId: string): Promise<void> {
  await said(at, { method: 'DELETE', key: wire, query: { uploadId } });
}

/** The answer's text. It is small wherever this is used. */
async function said(at: Bucket, request: S3Request): Promise<string> {
  return await (await at.client(request)).text();
}

async function tagOf(at: Bucket, request: S3Request): Promise<string> {
  const response = await at.client(request);
  await response.text(); // so that the connection is free again
  const tag = response.headers.get('etag');
  if (tag === null || /[<>&]/.test(tag)) throw new Error('S3 said nothing about the part that it got');
  return tag;
}

async function get(at: Bucket, key: string): Promise<Readable | null> {
  assertKey(key);
  const doing = `get ${JSON.stringify(key)}`;
  const response = await ask(at.name, doing, async () => {
    try {
      return await at.client({ method: 'GET', key: at.wire(key) });
    } catch (error) {
      // Not every 404: without the bucket, nothing is known about the object.
      if (serviceCode(error) === 'NoSuchKey') return null;
      throw error;
    }
  });
  if (response === null) return null;
  const reader = response.body?.getReader();
  return readableOf({
    next: async () => (await reader?.read())?.value ?? null,
    close: async () => await reader?.cancel(),
    explain: (error) => down(at.name, `${doing} to its end`, error),
  });
}

async function* list(at: Bucket, prefix: string): AsyncGenerator<ListedObject> {
  const doing = `list ${JSON.stringify(prefix)}`;
  let token: string | null = null;
  do {
    const page: string = await ask(at.name, doing, () =>
      said(at, {
        method: 'GET',
        query: {
          'list-type': '2',
          'max-keys': String(PAGE),
          prefix: at.wire(prefix),
          ...(token !== null && { 'continuation-token': token }),
        },
      }),
    );
    for (const object of elementsOf(page, 'Contents')) {
      const key = at.key(textOf(object, 'Key') ?? '');
      const modifiedAt = Date.parse(textOf(object, 'LastModified') ?? '');
      if (Number.isNaN(modifiedAt)) throw down(at.name, doing, new Error('S3 did not say how old an object is'));
      if (key !== null) yield { key, bytes: Number(textOf(object, 'Size')), modifiedAt };
    }
    token = textOf(page, 'NextContinuationToken');
  } while (token !== null);
}

async function remove(at: Bucket, keys: readonly string[]): Promise<void> {
  for (const key of keys) assertKey(key);
  for (let start = 0; start < keys.length; start += PAGE) {
    const batch = keys.slice(start, start + PAGE);
    const doing = `delete ${batch.length} objects`;
    const objects = batch.map((key) => `<Object><Key>${at.wire(key)}</Key></Object>`);
    const body = `<Delete>${objects.join('')}</Delete>`;
    const headers = { 'content-md5': md5(Buffer.from(body)), 'content-type': 'application/xml' };
    const answer = await ask(at.name, doing, () => said(at, { method: 'POST', query: { delete: '' }, headers, body }));
    const deleted = new Set(elementsOf(answer, 'Deleted').map((one) => at.key(textOf(one, 'Key') ?? '')));
    const left = batch.filter((key) => !deleted.has(key)).length;
    if (left > 0) throw down(at.name, doing, new Error(`S3 kept ${left} of them`));
  }
}

async function discard(at: Bucket, before: number): Promise<number> {
  const doing = 'discard what is unfinished';
  const seen = new Set<string>();
  let discarded = 0;
  for (;;) {
    // Always the first page: those discarded make room for the next.
    const page = await unfinishedUploads(at, doing);
    const old = page.filter(({ id, since }) => since < before && !seen.has(id));
    if (old.length === 0) return discarded;
    for (const { id, wire } of old) {
      seen.add(id);
      await ask(at.name, doing, async () => {
        await abandon(at, wire, id).catch((error: unknown) => {
          if (serviceCode(error) !== 'NoSuchUpload') throw error; // somebody else was faster
        });
      });
      discarded += 1;
    }
  }
}

async function unfinishedUploads(at: Bucket, doing: string): Promise<{ id: string; wire: string; since: number }[]> {
  const prefix = at.wire('');
  const answer = await ask(at.name, doing, () => said(at, { method: 'GET', query: { uploads: '', prefix } }));
  return elementsOf(answer, 'Upload').flatMap((upload) => {
    const [id, wire] = [textOf(upload, 'UploadId') ?? '', textOf(upload, 'Key') ?? ''];
    const since = Date.parse(textOf(upload, 'Initiated') ?? '');
    return id !== '' && at.key(wire) !== null && !Number.isNaN(since) ? [{ id, wire, since }] : [];
  });
}

/** Pieces of exactly PART_BYTES, the last one of what is left. `take` sees each piece once, in order. */
async function* partsOf(chunks: AsyncIterable<Uint8Array>, take: (part: Part) => void): AsyncGenerator<Part, void> {
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  const piece = () => {
    const part = Buffer.concat(gathered);
    gathered = [];
    bytes = 0;
    take(part);
    return part;
  };
  for await (let chunk of chunks) {
    while (chunk.byteLength > 0) {
      const fits = chunk.subarray(0, PART_BYTES - bytes);
      gathered.push(fits);
      bytes += fits.byteLength;
      chunk = chunk.subarray(fits.byteLength);
      if (bytes === PART_BYTES) yield piece();
    }
  }
  if (bytes > 0) yield piece();
}

function md5(part: Buffer): string {
  return createHash('md5').update(part).digest('base64');
}

const encoder = new TextEncoder();

/**
 * Keys travel as characters that every store lists, deletes and signs alike: whatever is not one of `A-Za-z0-9/._-` becomes `=`
 * and the two hexadecimal digits of each byte. (In S3's XML and URLs, stores differ about quotes, plus, blanks and accents.)
 * The beginning of a key becomes the beginning of the encoded key.
 */
function toWire(key: string): string {
  return key.replaceAll(/[^A-Za-z0-9/._-]/gu, (character) =>
    [...encoder.encode(character)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

function fromWire(wire: string): string | null {
  if (!/^([A-Za-z0-9/._-]|=[0-9A-F]{2})+$/.test(wire)) return null;
  try {
    return decodeURIComponent(wire.replaceAll('=', '%'));
  } catch {
    return null;
  }
}
