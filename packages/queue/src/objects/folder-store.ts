import { createHash, randomUUID } from 'node:crypto';
import { constants, mkdirSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { messageOf } from '../connection-errors.ts';
import { ObjectStoreDown } from './object-errors.ts';
import { assertKey, UNFINISHED } from './object-key.ts';
import { bytesOf, readableOf, type ListedObject, type ObjectStore, type StoredObject } from './object-store.ts';

const CHUNK_BYTES = 64 * 1024;
/** A folder that a put has just made can be removed as empty by a delete next to it: then it is made again. */
const RENAME_TRIES = 20;

/**
 * An object store in a folder, made when it is missing. Several processes may use it at once. An object is a file under its key;
 * what is being written is in `.unfinished`, in the same file system, and is renamed when it is whole and on disk.
 *
 * @throws {ObjectStoreDown} when the folder can't be made. Also later, when it is gone: an unmounted disk must not look like a
 *   store that has lost its objects.
 */
export function folderStore(folder: string): ObjectStore {
  const root = path.resolve(folder);
  const unfinished = path.join(root, UNFINISHED);
  try {
    mkdirSync(unfinished, { recursive: true });
  } catch (error) {
    throw down(root, 'be opened', error);
  }
  return {
    put: async (key, body) => await put(root, key, body),
    get: async (key) => await get(root, key),
    list: (prefix) => list(root, prefix),
    async delete(keys) {
      for (const key of keys) assertKey(key);
      for (const key of keys) await remove(root, key);
    },
    discardUnfinished: async (before) => await discard(root, before),
  };
}

async function put(root: string, key: string, body: Uint8Array | Readable): Promise<StoredObject> {
  assertKey(key);
  const doing = `put ${JSON.stringify(key)}`;
  const temporary = path.join(root, UNFINISHED, randomUUID());
  const file = await works(root, doing, () => open(temporary, 'wx'));
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    try {
      for await (const chunk of bytesOf(body)) {
        hash.update(chunk);
        bytes += chunk.byteLength;
        await works(root, doing, () => file.writeFile(chunk)); // goes on where the last one ended
      }
      await works(root, doing, () => file.sync());
    } finally {
      await file.close();
    }
    await works(root, doing, () => publish(root, temporary, path.join(root, key)));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // else discardUnfinished finds it
    throw error;
  }
  return { key, bytes, sha256: hash.digest('hex') };
}

async function publish(root: string, temporary: string, target: string): Promise<void> {
  const parent = path.dirname(target);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(parent, { recursive: true });
      await rename(temporary, target);
      break;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === RENAME_TRIES) throw error;
      await stat(root); // gone altogether: no use in trying on
    }
  }
  // Up to the root: a folder on the way may be new, and whoever made it may not have got to this point yet.
  for (let made = parent; ; made = path.dirname(made)) {
    await syncFolder(made);
    if (made === root) return;
  }
}

async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return; // the object is deleted already, and its folder with it
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function get(root: string, key: string): Promise<Readable | null> {
  assertKey(key);
  const doing = `get ${JSON.stringify(key)}`;
  const file = await works(root, doing, async () => {
    const opened = await absentIsNull(root, () => open(path.join(root, key)));
    if (opened === null) return null;
    // The folder of other keys can be opened, too.
    if ((await opened.stat()).isFile()) return opened;
    await opened.close();
    return null;
  });
  if (file === null) return null;
  return readableOf({
    async next() {
      const { bytesRead, buffer } = await file.read({ buffer: Buffer.allocUnsafe(CHUNK_BYTES) });
      return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
    },
    close: async () => await file.close(),
    explain: (error) => down(root, doing, error),
  });
}

async function* list(root: string, prefix: string): AsyncGenerator<ListedObject> {
  const doing = `list ${JSON.stringify(prefix)}`;
  const slash = prefix.lastIndexOf('/');
  const start = prefix.slice(0, Math.max(slash, 0));
  if (start !== '') assertKey(start);
  const waiting = [start];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const absolute = path.join(root, folder);
    const entries = await works(root, doing, () =>
      absentIsNull(root, () => readdir(absolute, { withFileTypes: true })),
    );
    for (const entry of entries ?? []) {
      const key = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (key === UNFINISHED) continue;
      if (entry.isDirectory()) {
        if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`)) waiting.push(key);
      } else if (entry.isFile() && key.startsWith(prefix)) {
        const found = await works(root, doing, () => absentIsNull(root, () => stat(path.join(root, key))));
        if (found !== null) yield { key, bytes: found.size, modifiedAt: found.mtimeMs };
      }
    }
  }
}

async function remove(root: string, key: string): Promise<void> {
  const file = path.join(root, key);
  await works(root, `delete ${JSON.stringify(key)}`, () => absentIsNull(root, () => unlink(file)));
  for (let folder = path.dirname(file); folder !== root; folder = path.dirname(folder)) {
    try {
      await rmdir(folder);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') continue; // somebody else deletes here
      return; // not empty
    }
  }
}

async function discard(root: string, before: number): Promise<number> {
  return await works(root, 'discard what is unfinished', async () => {
    let discarded = 0;
    for (const name of await readdir(path.join(root, UNFINISHED))) {
      const file = path.join(root, UNFINISHED, name);
      const found = await absentIsNull(root, () => stat(file));
      if (found === null || found.mtimeMs >= before) continue;
      await rm(file, { force: true });
      discarded += 1;
    }
    return discarded;
  });
}

/** Null when there is no such file. Throws when that is because the whole store is gone. */
async function absentIsNull<T>(root: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error))) throw error;
    await stat(path.join(root, UNFINISHED));
    return null;
  }
}

async function works<T>(root: string, doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw down(root, doing, error);
  }
}

function down(root: string, doing: string, error: unknown): ObjectStoreDown {
  return new ObjectStoreDown(
    `The object store in ${root} can't ${doing}: ${messageOf(error)}. Nothing was changed, and it can be tried again. ` +
      'Check that the disk is mounted, has room, and that this user may write there.',
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
