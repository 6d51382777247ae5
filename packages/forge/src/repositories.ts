import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { appNameProblem, SlipwayError } from '@slipway/app';
import type { Git } from './git.ts';
import { type Swept, sweep } from './sweep.ts';

export interface RepositoriesOptions {
  /** Holds the repositories, `APP.git` each, and belongs to one Slipway alone. */
  folder: string;
  git: Git;
  log: (message: string) => void;
  /** Milliseconds since 1970. */
  clock: () => number;
}

/**
 * The bare repositories as folders: made and removed whole, changed by one at a time, and put in order after a crash. What
 * is in them is read by `GitForge`.
 */
export class Repositories {
  readonly #folder: string;
  readonly #git: Git;
  readonly #log: (message: string) => void;
  readonly #clock: () => number;
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #swept = new Set<string>();

  constructor({ folder, git, log, clock }: RepositoriesOptions) {
    this.#folder = folder;
    this.#git = git;
    this.#log = log;
    this.#clock = clock;
  }

  /** Makes the folder, and removes what a killed process was still making or removing. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    for (const entry of await readdir(this.#folder)) {
      if (/^\.(making|removing|index)-/.test(entry))
        await rm(join(this.#folder, entry), { recursive: true, force: true });
    }
  }

  /** Names of apps, sorted. */
  async list(): Promise<string[]> {
    const entries = await readdir(this.#folder).catch(() => []);
    return entries
      .filter((entry) => entry.endsWith('.git') && appNameProblem(entry.slice(0, -4)) === null)
      .map((entry) => entry.slice(0, -4))
      .sort();
  }

  async exists(app: string): Promise<boolean> {
    if (appNameProblem(app) !== null) return false;
    return stat(this.path(app)).then(
      (found) => found.isDirectory(),
      () => false,
    );
  }

  /** @throws {SlipwayError} `not-found` when there is none for this app. */
  async known(app: string): Promise<void> {
    if (await this.exists(app)) return;
    const apps = await this.list();
    throw new SlipwayError('not-found', `There is no app "${app}" here: nothing was pushed for it yet.`, {
      hint: apps.length === 0 ? `Push to .../git/APP.git first.` : `Known apps: ${apps.slice(0, 10).join(', ')}.`,
    });
  }

  /** Makes an empty repository; fine when there is one. @throws {SlipwayError} `mistake` for a name that can't be one. */
  async create(app: string): Promise<void> {
    checkAppName(app);
    if (await this.exists(app)) return;
    const making = await this.#init();
    try {
      await rename(making, this.path(app));
      this.#log(`The repository of app ${app} was created.`);
    } catch (error) {
      await rm(making, { recursive: true, force: true });
      // Someone else was faster.
      if (!(await this.exists(app))) throw error;
    }
  }

  /** Deletes a repository with all of its commits; fine when there is none. */
  async remove(app: string): Promise<void> {
    checkAppName(app);
    await this.exclusively(app, async () => {
      if (!(await this.exists(app))) return;
      const removing = await mkdtemp(join(this.#folder, '.removing-'));
      await rename(this.path(app), removing);
      await rm(removing, { recursive: true, force: true });
      this.#log(`The repository of app ${app} was removed.`);
    });
  }

  path(app: string): string {
    return join(this.#folder, `${app}.git`);
  }

  /** A folder that is empty now and is removed by the next start at the latest. The caller removes it. */
  scratch(): Promise<string> {
    return mkdtemp(join(this.#folder, '.index-'));
  }

  /** A repository that stays empty: what a client is shown of an app that its push will create. */
  async empty(): Promise<string> {
    const empty = join(this.#folder, '.empty');
    if (await stat(empty).catch(() => null)) return empty;
    const making = await this.#init();
    // The one that loses the race is cleaned up by the next start.
    await rename(making, empty).catch(() => {});
    return empty;
  }

  /** Runs one thing at a time in a repository, in the order of asking; after a crash it is put in order first. */
  async exclusively<T>(app: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(app) ?? Promise.resolve();
    const turn = before.then(async () => {
      if (!this.#swept.has(app)) await this.#sweepAfterRestart(app);
      return work();
    });
    const settled = turn.catch(() => {});
    this.#turns.set(app, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(app) === settled) this.#turns.delete(app);
    }
  }

  /** Removes what a killed git of ours left behind. Only inside of {@link exclusively}. */
  async sweep(app: string): Promise<void> {
    this.#sweptUp(app, await sweep(this.path(app), 0, this.#clock()));
  }

  /** An earlier process was perhaps killed, and a git that it started may still be about to end: it gets 2 s for that. */
  async #sweepAfterRestart(app: string): Promise<void> {
    const swept = await sweep(this.path(app), 2000, this.#clock());
    if (swept.spared > 0) {
      await delay(2000);
      await this.sweep(app);
    }
    this.#sweptUp(app, swept);
    this.#swept.add(app);
  }

  #sweptUp(app: string, { removed }: Swept): void {
    if (removed > 0) this.#log(`Removed ${removed} leftovers of an interrupted push into ${app}.`);
  }

  /** An empty repository beside its place, so that one that is half made is never found there. */
  async #init(): Promise<string> {
    const making = await mkdtemp(join(this.#folder, '.making-'));
    await this.#git.must(['-c', 'init.defaultBranch=main', 'init', '--quiet', '--bare', '--template=', making]);
    return making;
  }
}

/** @throws {SlipwayError} `mistake` that says what is allowed. */
export function checkAppName(name: string): void {
  const problem = appNameProblem(name);
  if (problem !== null) throw new SlipwayError('mistake', `This can't be the name of an app: ${problem}.`);
}
