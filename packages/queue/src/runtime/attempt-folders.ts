import {
  emptyAttemptFolder,
  makeAttemptFolder,
  removeFolder,
  renameAttemptFolder,
  type AttemptFolder,
} from './attempt-folder.ts';

/**
 * The folders of a runner's attempts. One that is given back gets a name that was never used, is emptied, and becomes the next attempt's: to make and
 * remove folders can cost more than all else that a short attempt needs (ext4 without a journal passes over inodes that were deleted of late, one by
 * one), and to rename one costs nothing. What a program goes on to write after its attempt has ended meets a path that isn't there.
 */
export class AttemptFolders {
  readonly #base: string;
  /** Empty ones; never more than attempts that once ran at the same time. */
  readonly #free: AttemptFolder[] = [];
  readonly #leaving = new Set<Promise<void>>();
  #closed = false;

  /** @param base Where they are made. It is made when missing. */
  constructor(base: string) {
    this.#base = base;
  }

  /** An empty folder under a name that no other attempt had. */
  async take(): Promise<AttemptFolder> {
    return this.#free.pop() ?? (await makeAttemptFolder(this.#base));
  }

  /** Takes one back and removes everything that is in it; links are removed, and not followed. What can't be removed is left to the next start. */
  async giveBack(folder: AttemptFolder): Promise<void> {
    const done = this.#empty(folder).catch(() => undefined);
    this.#leaving.add(done);
    await done;
    this.#leaving.delete(done);
  }

  /** Removes those that are free, and waits for those that are being emptied; what is given back later is removed then. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#leaving, ...this.#free.splice(0).map(async ({ path }) => await removeFolder(path))]);
  }

  async #empty(given: AttemptFolder): Promise<void> {
    const folder = await renameAttemptFolder(given).catch(() => given); // the program may have removed it
    const isEmpty = !this.#closed && (await emptyAttemptFolder(folder));
    if (isEmpty && !this.#closed) this.#free.push(folder);
    else await removeFolder(folder.path);
  }
}
