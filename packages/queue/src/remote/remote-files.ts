import { once } from 'node:events';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { ObjectMissing, ObjectRefused, ObjectStoreDown, type ObjectStore } from '../objects/index.ts';
import { type ApiClient, ApiRefused } from './api-client.ts';

/** What a worker needs of an object store. */
export type FileStore = Pick<ObjectStore, 'put' | 'get'>;

/** Seconds: a file may be large, and a worker's line slow. */
const LONGEST = 3_600;

const stored = z.object({ key: z.string(), bytes: z.number(), sha256: z.string() });

/**
 * The objects of tasks over HTTP: those that the worker may read, and those of the attempts that it runs.
 *
 * @param workerId As whom; it may change, when a lease was lost.
 */
export function remoteFiles(client: ApiClient, workerId: () => string): FileStore {
  const path = (key: string) => `/workers/${workerId()}/files/${key}`;
  return {
    async put(key, body) {
      const content = body instanceof Uint8Array ? Readable.from([body]) : body;
      const failed = once(content, 'error').then(([error]: unknown[]) => Promise.reject(asError(error)));
      failed.catch(() => undefined);
      const response = await Promise.race([
        failed,
        client.send('PUT', path(key), content, { seconds: LONGEST }).catch((error: unknown) => {
          throw explained(error, key);
        }),
      ]);
      return stored.parse(await response.json());
    },
    async get(key) {
      const response = await client.send('GET', path(key), null, { seconds: LONGEST }).catch((error: unknown) => {
        if (error instanceof ApiRefused && error.status === 404) return null;
        throw explained(error, key);
      });
      if (response?.body == null) return null;
      return readable(response.body, key);
    },
  };
}

/** Its breaks are breaks of the store: what was cut off is to be had again later. */
function readable(body: NonNullable<Response['body']>, key: string): Readable {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body) yield chunk;
    } catch (error) {
      throw explained(error, key);
    }
  }
  return Readable.from(chunks(), { objectMode: false });
}

function explained(error: unknown, key: string): Error {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ApiRefused)) return new ObjectStoreDown(`The file ${key} can't be moved now: ${message}`);
  return error.status === 404 ? new ObjectMissing(key, 'A file of the task') : new ObjectRefused(message);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
