import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isGone, proveThisProcess, type HostProof } from '../host.ts';

/** Where one attempt finds its input and leaves its output. */
export interface AttemptFolder {
  path: string;
  /** Input files; put them here before the attempt is run. */
  input: string;
  /** Empty at first; every file left here is output. */
  output: string;
  payload: string;
  /** The program appends lines to it. */
  progress: string;
}

const nameStart = 'attempt-';
const ownProof = proveThisProcess();

/** Bytes; results are small, files go into the output folder. */
const largestResult = 64 * 1024;

/** A name that no folder had before. It says which process made it. */
function newFolderName(): string {
  return `${nameStart}${ownProof === null ? '' : ownerPart(ownProof)}-${randomUUID()}`;
}

function attemptFolderAt(path: string): AttemptFolder {
  return {
    path,
    input: join(path, 'input'),
    output: join(path, 'output'),
    payload: join(path, 'payload.json'),
    progress: join(path, 'progress'),
  };
}

/** Makes a new folder below `base`, which is made when it is missing. */
export async function makeAttemptFolder(base: string): Promise<AttemptFolder> {
  const folder = attemptFolderAt(join(base, newFolderName()));
  await mkdir(base, { recursive: true });
  await mkdir(folder.path, { mode: 0o700 });
  await mkdir(folder.input);
  await mkdir(folder.output);
  return folder;
}

/**
 * Empties the folder of an attempt that is over, as if it had just been made; links in it are removed, never followed.
 *
 * @returns false when the program changed more than what is in it: then it is only good for {@link removeFolder}.
 */
export async function emptyAttemptFolder({ path, input, output }: AttemptFolder): Promise<boolean> {
  try {
    if (!(await isOpenFolder(path))) return false;
    const others = (await readdir(path)).map((name) => join(path, name)).filter((at) => at !== input && at !== output);
    await Promise.all(others.map(removeFolder));
    return (await Promise.all([emptyFolder(input), emptyFolder(output)])).every(Boolean);
  } catch {
    return false; // gone, replaced by a file, or closed
  }
}

async function isOpenFolder(path: string): Promise<boolean> {
  const stat = await lstat(path);
  return stat.isDirectory() && (stat.mode & constants.S_IRWXU) === constants.S_IRWXU;
}

async function emptyFolder(path: string): Promise<boolean> {
  if (!(await isOpenFolder(path))) return false;
  await Promise.all((await readdir(path)).map(async (name) => await removeFolder(join(path, name))));
  return true;
}

/** Moves a folder to a new name, with what is in it. */
export async function renameAttemptFolder({ path }: AttemptFolder): Promise<AttemptFolder> {
  const renamed = attemptFolderAt(join(dirname(path), newFolderName()));
  await rename(path, renamed.path);
  return renamed;
}

export async function fillAttemptFolder(folder: AttemptFolder, payload: unknown): Promise<void> {
  await writeFile(folder.payload, JSON.stringify(payload ?? null));
  await writeFile(folder.progress, '');
}

/** Removes the folders of processes that are gone, e.g. killed, by proof: same computer, same pid namespace. Others are let be. */
export async function removeAbandonedFolders(base: string): Promise<void> {
  if (ownProof === null) return;
  const own = new RegExp(`^${nameStart}${hostPart(ownProof)}\\.(\\d+)\\.(\\d+)-`);
  for (const name of await readdir(base).catch(() => [])) {
    const [, pid, processStart] = own.exec(name) ?? [];
    if (pid === undefined || processStart === undefined || !isGone(Number(pid), processStart)) continue;
    await removeFolder(join(base, name)).catch(() => undefined); // tried again at the next start
  }
}

function ownerPart(proof: HostProof): string {
  return `${hostPart(proof)}.${proof.pid}.${proof.processStart}`;
}

function hostPart({ host }: HostProof): string {
  return createHash('sha256').update(host).digest('hex').slice(0, 16);
}

/**
 * Reads `output/result.json` once nothing of the attempt runs any more. The program may have left anything under that name: links are not
 * followed and only a plain file is opened.
 *
 * @returns undefined when there is none.
 * @throws {Error} that says what is wrong with it.
 */
export async function readResult(folder: AttemptFolder): Promise<unknown> {
  const found = await lstat(folder.output).catch(() => null);
  if (found?.isDirectory() !== true) throw new Error('It removed or replaced its output folder.');
  const text = await readPlainFile(join(folder.output, 'result.json'));
  if (text === null) return undefined;
  try {
    const result: unknown = JSON.parse(text);
    return result;
  } catch (error) {
    throw new Error(`Its output/result.json isn't JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function readPlainFile(path: string): Promise<string | null> {
  let file;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw new Error("Its output/result.json can't be read; it has to be a plain file.", { cause: error });
  }
  try {
    const { size } = await checkPlain(file);
    if (size > largestResult)
      throw new Error(
        `Its output/result.json has ${size} bytes; at most ${largestResult} are allowed. Write a file of another name beside it.`,
      );
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

async function checkPlain(file: Awaited<ReturnType<typeof open>>): Promise<{ size: number }> {
  const stat = await file.stat();
  if (!stat.isFile()) throw new Error("Its output/result.json isn't a plain file.");
  return stat;
}

/** Removes whatever is there. Links in it are removed, never followed; folders the program closed for us are opened first. */
export async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    await openFolders(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  }
}

async function openFolders(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found?.isDirectory() !== true) return;
  await chmod(path, 0o700).catch(() => undefined);
  for (const name of await readdir(path).catch(() => [])) await openFolders(join(path, name));
}
