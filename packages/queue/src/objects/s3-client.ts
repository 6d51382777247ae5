import { AwsV4Signer } from 'aws4fetch';

export interface S3Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary credentials; travels with each request, and is signed with it. */
  sessionToken?: string;
}

export interface S3ClientOptions {
  /** `https://s3.eu-central-1.amazonaws.com/bucket`. */
  url: string;
  region: string;
  credentials: S3Credentials;
  fetch: typeof fetch;
}

export interface S3Request {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Only characters that URLs and XML leave alone; see `toWire`. Default: the bucket itself. */
  key?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Buffer<ArrayBuffer> | string;
}

/** S3 answered that it did not do it. */
export class S3ServiceError extends Error {
  readonly status: number;
  /** What S3 calls it, e.g. `NoSuchKey`; null: it did not say. */
  readonly code: string | null;

  constructor(status: number, code: string | null) {
    super(`S3 answered ${status} ${code ?? ''}`);
    this.name = 'S3ServiceError';
    this.status = status;
    this.code = code;
  }
}

/** Sends a request, signed with the credentials, and gives the answer when it is a success. @throws {S3ServiceError} what `fetch` throws. */
export type S3Client = (request: S3Request) => Promise<Response>;

/** A function, not an object, so that no print of a store shows its credentials. */
export function s3Client(options: S3ClientOptions): S3Client {
  const { credentials, region } = options;
  // Of a signing key for a day, which is the same for all requests of it.
  let cache = new Map<string, ArrayBuffer>();
  return async ({ method, key = '', query = {}, headers = {}, body }) => {
    if (cache.size > 8) cache = new Map();
    const url = new URL(key === '' ? options.url : `${options.url}/${key}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const signer = new AwsV4Signer({ ...credentials, method, url: url.href, headers, service: 's3', region, cache });
    const signed = await signer.sign();
    const response = await options.fetch(signed.url, {
      method,
      headers: signed.headers,
      redirect: 'manual', // a signature is for this address only
      ...(body !== undefined && { body }),
    });
    if (response.ok) return response;
    const said = await response.text();
    throw new S3ServiceError(response.status, textOf(said, 'Code') ?? response.headers.get('x-amz-error-code'));
  };
}

/** The contents of all elements of that name, in order. Enough for S3's answers: they have no attributes and no CDATA where we look. */
export function elementsOf(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^]*?)</${name}>`, 'g'))].map(([, content = '']) => content);
}

/** The text of the first element of that name; null: there is none. */
export function textOf(xml: string, name: string): string | null {
  const [content] = elementsOf(xml, name);
  return content === undefined ? null : content.replaceAll(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, character);
}

const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function character(whole: string, decimal?: string, hexadecimal?: string, name?: string): string {
  if (name !== undefined) return named[name] ?? whole;
  const code = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal);
  return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
}
