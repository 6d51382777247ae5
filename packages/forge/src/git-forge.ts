import { mkdir, mkdtemp, readdir, readFile as readBytes, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SlipwayError } from '@slipway/app';
import { checkAppName, isAppName } from './app-name.ts';
import { decodeName, encodeName } from './branch-name.ts';
import { checkoutInto } from './checkout.ts';
import { type BatchAnswer, readBatch, readCommit } from './commit-object.ts';
import { type DiffSummary, summarize } from './diff-summary.ts';
import type { Checkout, Commit, CommitStatus, Forge } from './forge.ts';
import { Git, gitError } from './git.ts';
import { keep, thinOut } from './keep.ts';
import { type Swept, sweep } from './sweep.ts';

export interface GitForgeOptions {
  /** Holds the repositories, `APP.git` each, and belongs to one Slipway alone. */
  folder: string;
  /** Gets one sentence for each thing an operator may want to know. */
  log?: (message: string) => void;
  /** Milliseconds since 1970. */
  clock?: () => number;
  /** How long `stop` lets a push that is being received go on. Default 5000. */
  stopGraceMs?: number;
}

const wholeSha = /^[0-9a-f]{40}$/;
const mebibyte = 1024 * 1024;
/** Commits and ancestry never change, so what was read once is remembered, for this many per app. */
const remembered = 5000;

/**
 * The forge that is plain git: bare repositories in one folder, filled by `git push` to Slipway itself (see `serveGit`).
 * A git process costs about 2 ms, so each question is one process, and answers about a sha are remembered.
 */
export class GitForge implements Forge {
  readonly name = 'git';
  /** For `serveGit`. */
  readonly git: Git;
  readonly #folder: string;
  readonly #log: (message: string) => void;
  readonly #clock: () => number;
  readonly #stopGraceMs: number;
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #memory = new Map<string, { commits: Map<string, Commit>; ancestry: Map<string, boolean> }>();
  readonly #swept = new Set<string>();
  #stopping = new AbortController();

  constructor(options: GitForgeOptions) {
    this.#folder = options.folder;
    this.#log = options.log ?? (() => {});
    this.#clock = options.clock ?? Date.now;
    this.#stopGraceMs = options.stopGraceMs ?? 5000;
    this.git = new Git(join(options.folder, '.home'));
  }

  /** Aborts when the forge stops: open consoles are closed with a word of explanation. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** @throws {SlipwayError} `mistake` when git is missing or older than 2.25. */
  async start(): Promise<void> {
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
    await mkdir(this.#folder, { recursive: true });
    await this.git.start();
    // What a killed process was still making or removing.
    for (const entry of await readdir(this.#folder)) {
      if (/^\.(making|removing|index)-/.test(entry))
        await rm(join(this.#folder, entry), { recursive: true, force: true });
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('Slipway is stopping'));
    await this.git.stop(this.#stopGraceMs);
  }

  async repositories(): Promise<string[]> {
    const entries = await readdir(this.#folder).catch(() => []);
    return entries
      .filter((entry) => entry.endsWith('.git') && isAppName(entry.slice(0, -4)))
      .map((entry) => entry.slice(0, -4))
      .sort();
  }

  async exists(app: string): Promise<boolean> {
    if (!isAppName(app)) return false;
    return stat(this.path(app)).then(
      (found) => found.isDirectory(),
      () => false,
    );
  }

  /** Makes an empty repository; fine when there is one. @throws {SlipwayError} `mistake` for a name that can't be one. */
  async createRepository(app: string): Promise<void> {
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
  async removeRepository(app: string): Promise<void> {
    checkAppName(app);
    await this.exclusively(app, async () => {
      if (!(await this.exists(app))) return;
      const removing = await mkdtemp(join(this.#folder, '.removing-'));
      await rename(this.path(app), removing);
      this.#memory.delete(app);
      await rm(removing, { recursive: true, force: true });
      this.#log(`The repository of app ${app} was removed.`);
    });
  }

  async refs(app: string): Promise<Map<string, string>> {
    await this.#known(app);
    const output = await this.git.must([
      this.#at(app),
      'for-each-ref',
      '--format=%(objectname) %(refname)',
      'refs/heads',
    ]);
    const refs = new Map<string, string>();
    for (let at = 0, next; at < output.length; at = next + 1) {
      next = output.indexOf(10, at);
      refs.set(
        decodeName(output.subarray(at + 41 + 'refs/heads/'.length, next)),
        output.toString('latin1', at, at + 40),
      );
    }
    return refs;
  }

  /** The branch that clones check out: the one that was pushed first (`main` of several); `main` before that. */
  async defaultBranch(app: string): Promise<string> {
    await this.#known(app);
    const head = await readBytes(join(this.path(app), 'HEAD'));
    return decodeName(head.subarray('ref: refs/heads/'.length, head.length - 1));
  }

  /** @see defaultBranch. Written here, not by `git symbolic-ref`, because a branch name may be any bytes. */
  async setDefaultBranch(app: string, branch: string): Promise<void> {
    const file = join(this.path(app), 'HEAD');
    await writeFile(
      `${file}.new`,
      Buffer.concat([Buffer.from('ref: refs/heads/'), encodeName(branch), Buffer.from('\n')]),
    );
    await rename(`${file}.new`, file);
  }

  async commit(app: string, name: string): Promise<Commit> {
    await this.#known(app);
    const { commits } = this.#remember(app);
    const known = commits.get(name);
    if (known !== undefined) return known;
    const answer = await this.#resolve(app, name);
    if (answer.kind === 'none') {
      const why = answer.why === 'ambiguous' ? 'more than one commit begins with it' : 'it was not pushed';
      throw new SlipwayError('not-found', `App ${app} has no commit "${name}": ${why}.`, {
        hint: 'Name a branch, or at least the first 7 characters of a commit that was pushed.',
      });
    }
    const commit = readCommit(answer.sha, answer.content);
    store(commits, commit.sha, commit);
    return commit;
  }

  async isAncestor(app: string, ancestor: string, descendant: string): Promise<boolean> {
    await this.#known(app);
    const { ancestry } = this.#remember(app);
    const shas = await Promise.all([ancestor, descendant].map((name) => this.#shaOf(app, name)));
    const [older, newer] = shas;
    if (older === undefined || newer === undefined || older === null || newer === null) return false;
    const key = `${older} ${newer}`;
    const known = ancestry.get(key);
    if (known !== undefined) return known;
    const command = ['merge-base', '--is-ancestor', older, newer];
    const result = await this.git.run([this.#at(app), ...command]);
    if (result.end !== 'whole') throw gitError(command, result);
    // 128: one of them is not here. It may be pushed later, so that answer is not remembered.
    if (result.code !== 0 && result.code !== 1) return false;
    store(ancestry, key, result.code === 0);
    return result.code === 0;
  }

  /** Follows links inside of the repository; one that leads out of it is not there. */
  async readFile(app: string, sha: string, path: string): Promise<string | null> {
    await this.#known(app);
    const steps = path.split('/');
    if (/[\n\r\0]/.test(path) || steps.includes('') || steps.includes('.') || steps.includes('..')) return null;
    const { sha: commit } = await this.commit(app, sha);
    const command = ['cat-file', '--batch', '--follow-symlinks'];
    const result = await this.git.run([this.#at(app), ...command], {
      input: `${commit}:${path}\n`,
      maxBytes: mebibyte + 200,
    });
    const [answer] = readBatch(result.stdout);
    if (result.end === 'cut' || (answer?.kind === 'object' && answer.size > mebibyte)) {
      throw new SlipwayError('mistake', `${path} is larger than 1 MiB at commit ${commit.slice(0, 7)} of app ${app}.`, {
        hint: 'Make the file smaller; Slipway reads only files that people write.',
      });
    }
    if (result.code !== 0 || result.end === 'timeout') throw gitError(command, result);
    return answer?.kind === 'object' && answer.type === 'blob' ? answer.content.toString() : null;
  }

  async checkout(app: string, sha: string, folder: string): Promise<Checkout> {
    const commit = await this.commit(app, sha);
    const scratch = await mkdtemp(join(this.#folder, '.index-'));
    try {
      return await checkoutInto(this.git, this.path(app), commit.sha, folder, join(scratch, 'index'));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  /** Plain git has no place for a status: who pushes sees it in the push's console, everyone else in Slipway. */
  async postStatus(_app: string, _sha: string, _status: CommitStatus): Promise<void> {}

  /** What changed from one commit to another, for release notes. @throws {SlipwayError} `not-found` when one is unknown. */
  async diffSummary(app: string, from: string, to: string): Promise<DiffSummary> {
    const [older, newer] = await Promise.all([this.commit(app, from), this.commit(app, to)]);
    return summarize(this.git, this.path(app), older.sha, newer.sha);
  }

  /**
   * Packs a repository. For rare calls at quiet times (seconds for a large one). Objects that nothing refers to are
   * deleted only when they are two weeks old, so that a push in progress loses nothing.
   */
  async maintain(app: string): Promise<void> {
    await this.#known(app);
    await this.exclusively(app, async () => {
      await thinOut(this.git, this.path(app));
      await this.git.must([this.#at(app), 'pack-refs', '--all'], { timeoutMs: 300_000 });
    });
    await this.git.must([this.#at(app), 'gc', '--quiet', '--prune=2.weeks.ago'], { timeoutMs: 3_600_000 });
  }

  /** Holds pushed heads, whatever becomes of their branches. For `serveGit`. */
  async keep(app: string, shas: string[]): Promise<void> {
    await keep(this.git, this.path(app), shas);
  }

  path(app: string): string {
    return join(this.#folder, `${app}.git`);
  }

  /** A repository that stays empty: what a client is shown of an app that its push will create. */
  async emptyRepository(): Promise<string> {
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
    await this.git.must(['-c', 'init.defaultBranch=main', 'init', '--quiet', '--bare', '--template=', making]);
    return making;
  }

  async #known(app: string): Promise<void> {
    if (await this.exists(app)) return;
    const apps = await this.repositories();
    throw new SlipwayError('not-found', `There is no app "${app}" here: nothing was pushed for it yet.`, {
      hint: apps.length === 0 ? `Push to .../git/APP.git first.` : `Known apps: ${apps.slice(0, 10).join(', ')}.`,
    });
  }

  async #shaOf(app: string, name: string): Promise<string | null> {
    if (wholeSha.test(name)) return name;
    const answer = await this.#resolve(app, name);
    return answer.kind === 'object' ? answer.sha : null;
  }

  /** A branch wins over an abbreviated sha of the same letters. Names go in by stdin, so none is taken for an option. */
  async #resolve(app: string, name: string): Promise<BatchAnswer> {
    if (!/^[^\s\0:^~?*[]+$/.test(name) || name.includes('..') || name.includes('@{'))
      return { kind: 'none', why: 'missing' };
    const names = [`refs/heads/${name}^{commit}`];
    if (/^[0-9a-f]{4,40}$/.test(name)) names.push(`${name}^{commit}`);
    const input = Buffer.concat(names.map((line) => Buffer.concat([encodeName(line), Buffer.from('\n')])));
    const output = await this.git.must([this.#at(app), 'cat-file', '--batch'], { input });
    const answers = readBatch(output);
    const found = wholeSha.test(name)
      ? answers.at(-1)
      : (answers.find(({ kind }) => kind === 'object') ?? answers.at(-1));
    return found ?? { kind: 'none', why: 'missing' };
  }

  #at(app: string): string {
    return `--git-dir=${this.path(app)}`;
  }

  #remember(app: string): { commits: Map<string, Commit>; ancestry: Map<string, boolean> } {
    const memory = this.#memory.get(app) ?? { commits: new Map(), ancestry: new Map() };
    this.#memory.set(app, memory);
    return memory;
  }
}

function store<V>(memory: Map<string, V>, key: string, value: V): void {
  const [oldest] = memory.keys();
  if (memory.size >= remembered && oldest !== undefined) memory.delete(oldest);
  memory.set(key, value);
}
