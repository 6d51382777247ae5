import { createWriteStream } from 'node:fs';
import { constants } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ObjectMissing, ObjectRefused } from './object-errors.ts';
import { assertKey } from './object-key.ts';
import { verified, type ObjectStore } from './object-store.ts';

/** Files that move at the same time; each takes up to two parts of 8 MiB of memory in S3. */
const AT_ONCE = 4;
/** The manifest is kept in the task's row. */
const MOST_FILES = 10_000;

export interface InputFile {
  /** Where it goes in the attempt's folder: `images/a.png`. */
  name: string;
  key: string;
  /** Checked when given. */
  bytes?: number;
  /** Checked when given. */
  sha256?: string;
}

export interface ManifestFile {
  /** Path below the folder, with slashes. */
  name: string;
  key: string;
  bytes: number;
  sha256: string;
}

/** An attempt's output. It is published by keeping this in the task's row; until then nobody knows the keys. */
export interface Manifest {
  /** Sorted by name. */
  files: ManifestFile[];
}

/** The place of one attempt's output. The lease makes it unique: an attempt that lost its lease never writes into another's place. */
export function attemptPrefix(task: number | string, attempt: number, lease: number | string): string {
  return `output/${task}/${attempt}-${lease}`;
}

/**
 * Brings objects into a folder, which is made when missing and should be empty. A file is written anew, never over another one.
 *
 * @throws {ObjectMissing} or {ObjectDamaged} when the attempt can never get its input, {ObjectStoreDown} when it should wait,
 *   {ObjectRefused} when a name leads out of the folder. What has arrived by then stays: delete the folder.
 */
export async function download(store: ObjectStore, files: readonly InputFile[], folder: string): Promise<void> {
  for (const { name } of files) assertKey(name); // the rules for keys are those for names: no .., nothing absolute
  await mkdir(folder, { recursive: true });
  await eachOf(files, async (file) => {
    const target = path.join(folder, file.name);
    const what = `The input file ${JSON.stringify(file.name)}`;
    const content = await store.get(file.key);
    if (content === null) throw new ObjectMissing(file.key, what);
    try {
      await mkdir(path.dirname(target), { recursive: true });
      await pipeline(verified(content, file, what), createWriteStream(target, { flags: 'wx' }));
    } finally {
      content.destroy();
    }
  });
}

/**
 * Puts all regular files below a folder into the store, durably. The folder must have come to rest: the attempt's processes have ended.
 *
 * @param prefix `attemptPrefix(...)`.
 * @throws {ObjectRefused} when there is anything but files and folders (a symlink could lead out of the folder), or too many;
 *   nothing is uploaded then. {ObjectStoreDown} when the store fails; what was uploaded is garbage then.
 */
export async function upload(store: ObjectStore, folder: string, prefix: string): Promise<Manifest> {
  const names = await filesBelow(folder);
  const files: ManifestFile[] = [];
  await eachOf(names, async (name) => {
    // Not following symlinks: should one have taken the file's place, this fails.
    const source = await open(path.join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW);
    const content = source.createReadStream();
    try {
      files.push({ name, ...(await store.put(`${prefix}/${name}`, content)) });
    } finally {
      content.destroy();
      await source.close();
    }
  });
  return { files: files.toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** @throws {ObjectRefused} */
async function filesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const name = path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join('/');
    if (!entry.isFile()) {
      const kind = entry.isSymbolicLink() ? 'a symlink' : 'neither a file nor a folder';
      throw new ObjectRefused(
        `The output has ${JSON.stringify(name)}, which is ${kind}. Nothing was uploaded. Write files only: copy what it leads to.`,
      );
    }
    assertKey(name);
    names.push(name);
  }
  if (names.length > MOST_FILES) {
    throw new ObjectRefused(
      `The output has ${names.length} files, and at most ${MOST_FILES} are taken. Nothing was uploaded. Pack them into an archive.`,
    );
  }
  return names;
}

/** Works on a few at a time. The first failure stops the rest, and is thrown when those under way have ended. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].toReversed();
  const failures: unknown[] = [];
  const take = async () => {
    for (let item = waiting.pop(); item !== undefined && failures.length === 0; item = waiting.pop()) {
      await work(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, take));
  if (failures.length > 0) throw failures[0];
}
