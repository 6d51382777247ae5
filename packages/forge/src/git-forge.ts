import { readFile as readBytes, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app';
import { decodeName, encodeName } from './branch-name.ts';
import { checkoutInto } from './checkout.ts';
import { type BatchAnswer, readBatch, readCommit } from './commit-object.ts';
import { type DiffSummary, summarize } from './diff-summary.ts';
import type { Checkout, Commit, CommitStatus, Forge } from './forge.ts';
import { Git, gitError } from './git.ts';
import { keep, thinOut } from './keep.ts';
import { Repositories } from './repositories.ts';

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
  /** For `serveGit`. */
  readonly store: Repositories;
  readonly #stopGraceMs: number;
  readonly #memory = new Map<string, { commits: Map<string, Commit>; ancestry: Map<string, boolean> }>();
  #stopping = new AbortController();

  constructor(options: GitForgeOptions) {
    this.#stopGraceMs = options.stopGraceMs ?? 5000;
    this.git = new Git(join(options.folder, '.home'));
    this.store = new Repositories({
      folder: options.folder,
      git: this.git,
      log: options.log ?? (() => {}),
      clock: options.clock ?? Date.now,
    });
  }

  /** Aborts when the forge stops: open consoles are closed with a word of explanation. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** @throws {SlipwayError} `mistake` when git is missing or older than 2.25. */
  async start(): Promise<void> {
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
    await this.store.start();
    await this.git.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('Slipway is stopping'));
    await this.git.stop(this.#stopGraceMs);
  }

  repositories(): Promise<string[]> {
    return this.store.list();
  }

  /** Deletes a repository with all of its commits; fine when there is none. */
  async removeRepository(app: string): Promise<void> {
    await this.store.remove(app);
    this.#memory.delete(app);
  }

  async refs(app: string): Promise<Map<string, string>> {
    await this.store.known(app);
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
    await this.store.known(app);
    const head = await readBytes(join(this.store.path(app), 'HEAD'));
    return decodeName(head.subarray('ref: refs/heads/'.length, head.length - 1));
  }

  /**
   * Sees to it that the default branch is one that is there: main, master, or the first one. A process that was killed after
   * the first push may not have come to this.
   */
  async settleDefaultBranch(app: string, refs: Map<string, string>): Promise<void> {
    const [first] = refs.keys();
    if (first === undefined || refs.has(await this.defaultBranch(app))) return;
    const branch = ['main', 'master'].find((name) => refs.has(name)) ?? first;
    const file = join(this.store.path(app), 'HEAD');
    // Not by `git symbolic-ref`, because a branch name may be any bytes.
    const content = Buffer.concat([Buffer.from('ref: refs/heads/'), encodeName(branch), Buffer.from('\n')]);
    await writeFile(`${file}.new`, content);
    await rename(`${file}.new`, file);
  }

  async commit(app: string, name: string): Promise<Commit> {
    await this.store.known(app);
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
    await this.store.known(app);
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
    await this.store.known(app);
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
    const scratch = await this.store.scratch();
    try {
      return await checkoutInto(this.git, this.store.path(app), commit.sha, folder, join(scratch, 'index'));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  /** Plain git has no place for a status: who pushes sees it in the push's console, everyone else in Slipway. */
  async postStatus(_app: string, _sha: string, _status: CommitStatus): Promise<void> {}

  /** What changed from one commit to another, for release notes. @throws {SlipwayError} `not-found` when one is unknown. */
  async diffSummary(app: string, from: string, to: string): Promise<DiffSummary> {
    const [older, newer] = await Promise.all([this.commit(app, from), this.commit(app, to)]);
    return summarize(this.git, this.store.path(app), older.sha, newer.sha);
  }

  /**
   * Packs a repository. For rare calls at quiet times (seconds for a large one). Objects that nothing refers to are
   * deleted only when they are two weeks old, so that a push in progress loses nothing.
   */
  async maintain(app: string): Promise<void> {
    await this.store.known(app);
    await this.store.exclusively(app, async () => {
      await thinOut(this.git, this.store.path(app));
      await this.git.must([this.#at(app), 'pack-refs', '--all'], { timeoutMs: 300_000 });
    });
    await this.git.must([this.#at(app), 'gc', '--quiet', '--prune=2.weeks.ago'], { timeoutMs: 3_600_000 });
  }

  /** Holds pushed heads, whatever becomes of their branches. For `serveGit`. */
  async keep(app: string, shas: string[]): Promise<void> {
    await keep(this.git, this.store.path(app), shas);
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
    return `--git-dir=${this.store.path(app)}`;
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
