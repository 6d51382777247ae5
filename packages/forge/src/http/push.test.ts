import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { GitServer } from './git-server-fixture.ts';
import { attempt, startServer } from './pushes-under-test.ts';

const execute = promisify(execFile);

function refsOf(server: GitServer, app: string): string {
  return execFileSync('git', [
    '--git-dir',
    server.forge.store.path(app),
    'for-each-ref',
    '--format=%(refname)',
  ]).toString();
}

describe('pushing', () => {
  test('the first push of an admin creates the app; clone, push, force-push and delete are reported as found', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const first = await developer.commit('first', { 'a.txt': 'a' });
    await developer.git('push', '-q', 'origin', 'main');
    const second = await developer.commit('second');
    await developer.git('tag', 'v1');
    await developer.git('push', '-q', 'origin', 'main', 'v1', 'main:topic');
    await developer.git('reset', '-q', '--hard', first);
    const other = await developer.commit('other');
    await developer.git('push', '-q', '--force', 'origin', 'main');
    await developer.git('push', '-q', 'origin', ':topic');

    const by = { app: 'shop', actor: 'token:admin' };
    expect(server.changes).toEqual([
      { ...by, branch: 'main', before: null, after: first },
      { ...by, branch: 'main', before: first, after: second },
      { ...by, branch: 'topic', before: null, after: second },
      { ...by, branch: 'main', before: second, after: other },
      { ...by, branch: 'topic', before: second, after: null },
    ]);
    const clone = await server.developer('shop', 'viewer');
    await clone.git('fetch', '-q', 'origin');
    expect(await clone.git('rev-parse', 'origin/main')).toBe(other);
    // What a release may refer to is still there, hidden from clients, and safe from them.
    expect((await server.forge.commit('shop', second)).sha).toBe(second);
    expect(refsOf(server, 'shop')).toContain(`refs/slipway/keep/${second}`);
    expect(await clone.git('ls-remote', 'origin')).not.toContain('slipway');
    expect((await attempt(developer, 'push', 'origin', `:refs/slipway/keep/${second}`)).code).not.toBe(0);
    expect((await attempt(developer, 'push', 'origin', 'main:refs/slipway/keep/x')).text).toMatch(/hidden ref/);
  });

  test('the first branch is what clones check out', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    await developer.commit('first', { 'a.txt': 'a' });
    await developer.git('push', '-q', 'origin', 'main:trunk');
    await developer.git('push', '-q', 'origin', 'main:main');
    expect(await server.forge.defaultBranch('shop')).toBe('trunk');
    await developer.git('clone', '-q', server.url('shop'), 'cloned');
    expect(await readFile(join(developer.folder, 'cloned/a.txt'), 'utf8')).toBe('a');
  });

  test('discovery and a trial request create nothing', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    await developer.commit('first');
    await developer.git('push', '-q', '--dry-run', 'origin', 'main');
    const trial = await fetch(`${server.url('shop', null)}/git-receive-pack`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-git-receive-pack-request', Authorization: 'Bearer admin' },
      body: '0000',
    });
    expect(trial.status).toBe(200);
    expect(await server.forge.repositories()).toEqual([]);
  });

  test('branches with slashes, dots, unicode and bytes that are not UTF-8', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    const names = ['feature/a.b-c', 'grün/✓', "it's-$HOME;&|"];
    await developer.git('push', '-q', 'origin', ...names.map((name) => `main:refs/heads/${name}`));
    const odd = `git push -q origin "main:refs/heads/odd$(printf '\\377')"`;
    await execute('sh', ['-c', odd], { cwd: developer.folder });
    expect([...(await server.forge.refs('shop')).keys()].sort()).toEqual([...names, 'odd\\xff'].sort());
    expect((await server.forge.commit('shop', 'grün/✓')).sha).toBe(sha);
    expect((await server.forge.commit('shop', 'odd\\xff')).sha).toBe(sha);
  });

  test('two pushes within a second, and eight at once, are all stored', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const first = await developer.commit('first');
    await developer.git('push', '-q', 'origin', 'main');
    const second = await developer.commit('second');
    await developer.git('push', '-q', 'origin', 'main');
    expect(server.changes.map(({ after }) => after)).toEqual([first, second]);
    const branches = Array.from({ length: 8 }, (_, i) => `topic-${i}`);
    await Promise.all(branches.map((branch) => developer.git('push', '-q', 'origin', `main:${branch}`)));
    expect([...(await server.forge.refs('shop')).keys()].sort()).toEqual(['main', ...branches]);
    expect(
      server.changes
        .slice(2)
        .map(({ branch }) => branch)
        .sort(),
    ).toEqual(branches);
  });

  test('of two racing pushes to one branch one wins, and the other is told to fetch', async () => {
    const server = await startServer();
    const ann = await server.developer('shop');
    const base = await ann.commit('base');
    await ann.git('push', '-q', 'origin', 'main');
    const bob = await server.developer('shop');
    await bob.git('pull', '-q', 'origin', 'main');
    const shas = [await ann.commit('of ann'), await bob.commit('of bob')];
    const results = await Promise.all([attempt(ann, 'push', 'origin', 'main'), attempt(bob, 'push', 'origin', 'main')]);
    expect(results.map(({ code }) => code).sort((a, b) => a - b)).toEqual([0, 1]);
    const won = shas[results.findIndex(({ code }) => code === 0)];
    expect((await server.forge.refs('shop')).get('main')).toBe(won);
    expect(server.changes.at(-1)).toMatchObject({ before: base, after: won });
    expect(server.changes).toHaveLength(2);
  });

  test('20 MB, which git sends in chunks', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    await writeFile(join(developer.folder, 'large.bin'), randomBytes(20 * 1024 * 1024));
    const sha = await developer.commit('large');
    await developer.git('push', '-q', 'origin', 'main');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
  });

  test('more than a push may bring is refused in words, and nothing is stored', async () => {
    const server = await startServer({ maximumPackBytes: 100_000 });
    const developer = await server.developer('shop');
    await writeFile(join(developer.folder, 'large.bin'), randomBytes(3_000_000));
    await developer.commit('large');
    const { code, text } = await attempt(developer, 'push', 'origin', 'main');
    expect(code).not.toBe(0);
    expect(text).toMatch(/remote: fatal: pack exceeds maximum allowed size/);
    expect(await server.forge.refs('shop')).toEqual(new Map());
    expect(server.changes).toEqual([]);
  });

  test('a broken object is refused', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    await developer.commit('first');
    const blob = await developer.git('hash-object', '-w', '/dev/null');
    const tree = execFileSync('git', ['hash-object', '--literally', '-w', '-t', 'tree', '--stdin'], {
      cwd: developer.folder,
      input: Buffer.concat([Buffer.from('100644 .git\0'), Buffer.from(blob, 'hex')]),
    })
      .toString()
      .trim();
    const commit = await developer.git('commit-tree', '-m', 'bad', tree);
    const { code, text } = await attempt(developer, 'push', 'origin', `${commit}:refs/heads/bad`);
    expect(code).not.toBe(0);
    expect(text).toMatch(/hasDotgit/);
    expect(await server.forge.refs('shop')).toEqual(new Map());
  });
});
