import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { z } from 'zod';
import { ApiError } from './api-error.ts';

/** Bytes. A thousand tasks with payloads of 16 KiB. */
const LARGEST_JSON = 16 * 1024 * 1024;
/** Bytes: what S3 takes as one object. */
const LARGEST_FILE = 5 * 1024 ** 4;

/** @throws {ApiError} 400 for what is no JSON, 413. @throws {ZodError} */
export async function readJson<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of limited(request, LARGEST_JSON)) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  let value: unknown;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `The body is not JSON: ${String(error)}`, 'Send JSON, as UTF-8.');
  }
  return schema.parse(value);
}

/** The body, as it comes. It fails when the sender goes away, or sends too much. */
export function bodyStream(request: IncomingMessage): Readable {
  return Readable.from(limited(request, LARGEST_FILE), { objectMode: false });
}

async function* limited(request: IncomingMessage, most: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > most) {
      throw new ApiError(
        413,
        `The body is longer than ${most} bytes.`,
        'Send less at once; put large data into files.',
      );
    }
    yield chunk;
  }
  if (!request.complete) throw new ApiError(400, 'The body ended too early.', 'Send it again.');
}

export function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(value));
}

/** Never as something that a browser would run. */
export async function answerFile(response: ServerResponse, content: Readable): Promise<void> {
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
  });
  await pipeline(content, response);
}
