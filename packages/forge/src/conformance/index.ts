import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Forge } from '../forge.ts';

export interface ForgeFixture {
  /** Started. */
  forge: Forge;
  /** Makes an app whose repository is empty, and says where git pushes to. Called with a new name for each test. */
  createApp(app: string): Promise<{ remote: string }>;
  /** Stops the forge and removes what it wrote. */
  stop(): Promise<void>;
}

const execute = promisify(execFile);

/** Commits are made by one author at one time, so that shas are the same on each run. */
const author = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Ada Ärger',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_AUTHOR_DATE: '1700000000 +0100',
  GIT_COMMITTER_NAME: 'Ada Ärger',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
  GIT_COMMITTER_DATE: '1700000000 +0100',
  LC_ALL: 'C',
};

/** A developer's clone, driven by the real git. */
export class Developer {
  readonly folder: string;
  constructor(folder: string) {
    this.folder = folder;
  }

  static async clone(remote: string): Promise<Developer> {
    const developer = new Developer(await mkdtemp(join(tmpdir(), 'slipway-developer-')));
    await developer.git('init', '--quiet', '.');
    await developer.git('checkout', '--quiet', '-b', 'main');
    await developer.git('remote', 'add', 'origin', remote);
    return developer;
  }

  async git(...args: string[]): Promise<string> {
    const environment = { PATH: process.env['PATH'] ?? '', HOME: this.folder, ...author };
    const { stdout, stderr } = await execute('git', args, { cwd: this.folder, env: environment });
    return args[0] === 'push' ? stderr : stdout.trim();
  }

  async write(path: string, content: string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true });
    await writeFile(join(this.folder, path), content);
  }

  /** Commits everything and returns the sha. */
  async commit(message: string, files: Record<string, string> = {}): Promise<string> {
    for (const [path, content] of Object.entries(files)) await this.write(path, content);
    await this.git('add', '--all');
    await this.git('commit', '--quiet', '--allow-empty', '-m', message);
    return this.git('rev-parse', 'HEAD');
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * What each forge must do, tried through a real `git push`. Call it at the top of a test file:
 *
 * ```ts
 * forgeConformance('git', async () => ({ forge, createApp, stop }));
 * ```
 */
export function forgeConformance(name: string, setup: () => Promise<ForgeFixture>): void {
  describe(`${name} keeps the Forge contract`, () => {
    let fixture: ForgeFixture;
    let count = 0;
    const open: Developer[] = [];
    const scratch: string[] = [];

    beforeAll(async () => {
      fixture = await setup();
    });
    afterAll(async () => {
      await fixture.stop();
      for (const developer of open) await developer.remove();
      for (const folder of scratch) await rm(folder, { recursive: true, force: true });
    });

    const start = async (): Promise<{ app: string; developer: Developer; forge: Forge }> => {
      const app = `app-${++count}`;
      const developer = await Developer.clone((await fixture.createApp(app)).remote);
      open.push(developer);
      return { app, developer, forge: fixture.forge };
    };
    const emptyFolder = async (): Promise<string> => {
      const folder = await mkdtemp(join(tmpdir(), 'slipway-checkout-'));
      scratch.push(folder);
      return folder;
    };

    test('lists repositories and branches as they are now', async () => {
      const { app, developer, forge } = await start();
      const first = await developer.commit('first');
      await developer.git('push', '-q', 'origin', 'main', 'main:feature/new-headline');
      const second = await developer.commit('second');
      await developer.git('push', '-q', 'origin', 'main');
      expect(await forge.repositories()).toContain(app);
      expect(await forge.refs(app)).toEqual(
        new Map([
          ['feature/new-headline', first],
          ['main', second],
        ]),
      );
      await developer.git('push', '-q', 'origin', ':feature/new-headline');
      expect(await forge.refs(app)).toEqual(new Map([['main', second]]));
    });

    test('tags are not branches', async () => {
      const { app, developer, forge } = await start();
      const sha = await developer.commit('first');
      await developer.git('tag', 'v1');
      await developer.git('push', '-q', 'origin', 'main', 'v1');
      expect(await forge.refs(app)).toEqual(new Map([['main', sha]]));
    });

    test('reads a commit by sha, abbreviated sha and branch', async () => {
      const { app, developer, forge } = await start();
      const parent = await developer.commit('first');
      const sha = await developer.commit('Say hello: käse 🧀\n\nThe body says why.');
      await developer.git('push', '-q', 'origin', 'main');
      const expected = {
        sha,
        tree: await developer.git('rev-parse', 'HEAD^{tree}'),
        parents: [parent],
        author: 'Ada Ärger',
        authoredAt: 1_700_000_000_000,
        subject: 'Say hello: käse 🧀',
      };
      for (const name of [sha, sha.slice(0, 8), 'main']) expect(await forge.commit(app, name)).toEqual(expected);
    });

    test('a commit, branch or app that is not there is not found, and never an option or a path', async () => {
      const { app, developer, forge } = await start();
      const sha = await developer.commit('first', { 'a.txt': 'a' });
      await developer.git('push', '-q', 'origin', 'main');
      const names = [
        '0'.repeat(40),
        'fffffff',
        'nothing',
        '--all',
        '',
        `${sha}:a.txt`,
        'main~1',
        'HEAD\nmain',
        '../main',
      ];
      for (const name of names) {
        await expect(forge.commit(app, name), name).rejects.toMatchObject({ kind: 'not-found' });
      }
      await expect(forge.refs('no-such-app')).rejects.toMatchObject({ kind: 'not-found' });
      await expect(forge.refs('../etc')).rejects.toMatchObject({ kind: 'not-found' });
    });

    test('knows ancestry, also after a force-push, and is false for the unknown', async () => {
      const { app, developer, forge } = await start();
      const first = await developer.commit('first');
      const second = await developer.commit('second');
      await developer.git('push', '-q', 'origin', 'main');
      await developer.git('reset', '-q', '--hard', first);
      const other = await developer.commit('other');
      await developer.git('push', '-q', '--force', 'origin', 'main');
      expect(await forge.isAncestor(app, first, second)).toBe(true);
      expect(await forge.isAncestor(app, second, first)).toBe(false);
      expect(await forge.isAncestor(app, first, first)).toBe(true);
      expect(await forge.isAncestor(app, second, other)).toBe(false);
      expect(await forge.isAncestor(app, first, other)).toBe(true);
      expect(await forge.isAncestor(app, '1'.repeat(40), other)).toBe(false);
      expect((await forge.refs(app)).get('main')).toBe(other);
    });

    test('"unknown" is not remembered: what is pushed later is known', async () => {
      const { app, developer, forge } = await start();
      const first = await developer.commit('first');
      await developer.git('push', '-q', 'origin', 'main');
      const second = await developer.commit('second');
      expect(await forge.isAncestor(app, first, second)).toBe(false);
      await expect(forge.commit(app, second)).rejects.toMatchObject({ kind: 'not-found' });
      await developer.git('push', '-q', 'origin', 'main');
      expect(await forge.isAncestor(app, first, second)).toBe(true);
      expect((await forge.commit(app, second)).sha).toBe(second);
    });

    test('reads a file at a commit', async () => {
      const { app, developer, forge } = await start();
      const big = 'x'.repeat(1024 * 1024);
      await developer.write('link/here', '');
      await symlink('../slipway.yaml', join(developer.folder, 'link/inside'));
      await symlink('/etc/passwd', join(developer.folder, 'link/outside'));
      const old = await developer.commit('first', { 'slipway.yaml': 'app: shop\n', 'with space/ä': 'ä', big });
      const sha = await developer.commit('second', { 'slipway.yaml': 'app: other\n', big: `${big}x` });
      await developer.git('push', '-q', 'origin', 'main');
      expect(await forge.readFile(app, old, 'slipway.yaml')).toBe('app: shop\n');
      expect(await forge.readFile(app, sha, 'slipway.yaml')).toBe('app: other\n');
      expect(await forge.readFile(app, sha, 'with space/ä')).toBe('ä');
      expect(await forge.readFile(app, sha, 'link/inside')).toBe('app: other\n');
      for (const path of [
        'missing',
        'with space',
        'link/outside',
        '../slipway.yaml',
        '/etc/passwd',
        './big',
        'a\nb',
        '',
      ]) {
        expect(await forge.readFile(app, sha, path), path).toBeNull();
      }
      expect(await forge.readFile(app, old, 'big')).toHaveLength(big.length);
      await expect(forge.readFile(app, sha, 'big')).rejects.toMatchObject({ kind: 'mistake' });
    });

    test('checks out the files of a commit with their modes, and nothing of git', async () => {
      const { app, developer, forge } = await start();
      await developer.write('bin/run', '#!/bin/sh\n');
      await chmod(join(developer.folder, 'bin/run'), 0o755);
      await symlink('bin/run', join(developer.folder, 'run'));
      const sha = await developer.commit('first', { 'a.txt': 'a\r\n', 'deep/er/b': 'b' });
      await developer.commit('second', { 'a.txt': 'changed', 'later.txt': 'x' });
      await developer.git('push', '-q', 'origin', 'main');
      const folder = join(await emptyFolder(), 'not', 'there', 'yet');
      expect(await forge.checkout(app, sha, folder)).toEqual({ notices: [] });
      expect((await readdir(folder, { recursive: true })).sort()).toEqual(
        ['a.txt', 'bin', 'bin/run', 'deep', 'deep/er', 'deep/er/b', 'run'].sort(),
      );
      expect(await readFile(join(folder, 'a.txt'), 'utf8')).toBe('a\r\n');
      expect((await stat(join(folder, 'bin/run'))).mode & 0o111).not.toBe(0);
      expect((await stat(join(folder, 'a.txt'))).mode & 0o111).toBe(0);
      expect(await readlink(join(folder, 'run'))).toBe('bin/run');
    });

    test('checks out many commits at once', async () => {
      const { app, developer, forge } = await start();
      const shas: string[] = [];
      for (let i = 0; i < 8; i++) shas.push(await developer.commit(`commit ${i}`, { number: String(i) }));
      await developer.git('push', '-q', 'origin', 'main');
      await Promise.all(
        shas.map(async (sha, i) => {
          const folder = await emptyFolder();
          await forge.checkout(app, sha, folder);
          expect(await readFile(join(folder, 'number'), 'utf8')).toBe(String(i));
        }),
      );
    });

    test('refuses a folder that holds something, and leaves it alone', async () => {
      const { app, developer, forge } = await start();
      const sha = await developer.commit('first', { 'a.txt': 'a' });
      await developer.git('push', '-q', 'origin', 'main');
      const folder = await emptyFolder();
      await writeFile(join(folder, 'mine'), 'mine');
      await expect(forge.checkout(app, sha, folder)).rejects.toMatchObject({ kind: 'mistake' });
      expect(await readdir(folder)).toEqual(['mine']);
    });

    test('links that lead out are inert, and what is not fetched is named', async () => {
      const { app, developer, forge } = await start();
      const links = {
        passwd: '/etc/passwd',
        up: '../x',
        'sub/deep': '../../x',
        'sub/ok': '../a.txt',
        bent: 'sub/../../x',
      };
      await developer.write('sub/x', '');
      for (const [link, target] of Object.entries(links)) await symlink(target, join(developer.folder, link));
      await developer.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},vendor/lib`);
      await developer.write('a.txt', 'a');
      await developer.write('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\n');
      await developer.git('add', 'a.txt', '.gitattributes', 'sub', ...Object.keys(links));
      await developer.git('commit', '-q', '-m', 'links');
      await developer.git('push', '-q', 'origin', 'main');
      const folder = await emptyFolder();
      const { notices } = await forge.checkout(app, 'main', folder);
      expect(await readFile(join(folder, 'passwd'), 'utf8')).toBe('/etc/passwd');
      expect(await readFile(join(folder, 'sub/deep'), 'utf8')).toBe('../../x');
      expect(await readFile(join(folder, 'bent'), 'utf8')).toBe('sub/../../x');
      expect(await readlink(join(folder, 'sub/ok'))).toBe('../a.txt');
      expect(notices).toHaveLength(3);
      expect(notices[0]).toMatch(/symbolic links .*plain files/);
      expect(notices[1]).toMatch(/submodule vendor\/lib/);
      expect(notices[2]).toMatch(/LFS/);
    });

    test('takes a status without complaint, also twice', async () => {
      const { app, developer, forge } = await start();
      const sha = await developer.commit('first');
      await developer.git('push', '-q', 'origin', 'main');
      const status = { context: 'check: test', state: 'passed', description: '12 passed', url: null } as const;
      await forge.postStatus(app, sha, status);
      await forge.postStatus(app, sha, status);
    });

    test('stops twice', async () => {
      const other = await setup();
      await other.forge.stop();
      await other.forge.stop();
      await other.stop();
    });
  });
}
