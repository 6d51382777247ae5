import { open, readdir } from 'node:fs/promises';
import path from 'node:path';

const MAX_BYTES = 256 * 1024;

/** A folder of the repository, as the recognisers see it. Nothing in it is ever executed. */
export interface Folder {
  path: string;
  files: ReadonlySet<string>;
  folders: readonly string[];
  /** Text of a file; empty when it is missing, unreadable or larger than 256 KiB. */
  read(name: string): Promise<string>;
}

export async function openFolder(folder: string): Promise<Folder> {
  const entries = await readdir(folder, { withFileTypes: true });
  return {
    path: folder,
    files: new Set(entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)),
    folders: entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort(),
    read: (name) => readSmall(path.join(folder, name)),
  };
}

async function readSmall(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r');
    const stat = await handle.stat();
    return stat.isFile() && stat.size <= MAX_BYTES ? await handle.readFile('utf8') : '';
  } catch {
    return ''; // what can't be read says nothing about the app
  }
}

/** The first of `names` that is a file here. */
export function firstFile(folder: Folder, names: readonly string[]): string | undefined {
  return names.find((name) => folder.files.has(name));
}

/** A word for `sh`, quoted only when it has to be. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
