import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeName, encodeName } from './branch-name.ts';
import { staysInside } from './checkout.ts';
import { Developer, forgeConformance } from './conformance/index.ts';
import { GitForge } from './git-forge.ts';
import { GitServer } from './http/git-server-fixture.ts';

forgeConformance('git', async () => {
  const server = await GitServer.start();
  return {
    forge: server.forge,
    createApp: async (app) => {
      await server.forge.store.create(app);
      return { remote: server.url(app) };
    },
    stop: () => server.stop(),
  };
});

const cleanups: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function setup(): Promise<{ forge: GitForge; folder: string; logged: string[]; developer: Developer }> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-forge-'));
  const logged: string[] = [];
  const forge = new GitForge({ folder, log: (message) => logged.push(message) });
  await forge.start();
  await forge.store.create('shop');
  const developer = await Developer.clone(forge.store.path('shop'));
  cleanups.push(
    () => developer.remove(),
    () => rm(folder, { recursive: true, force: true }),
    () => forge.stop(),
  );
  return { forge, folder, logged, developer };
}

describe('GitForge', () => {
  test('stop before start is fine, and start after stop', async () => {
    const { forge } = await setup();
    await new GitForge({ folder: '/nowhere' }).stop();
    await forge.stop();
    await forge.start();
    expect(forge.stopping.aborted).toBe(false);
    expect(await forge.repositories()).toEqual(['shop']);
  });

  test('says what is missing when git is absent or old', async () => {
    const { folder } = await setup();
    const path = process.env['PATH'];
    const bin = join(folder, 'bin');
    await mkdir(bin);
    try {
      process.env['PATH'] = bin;
      await expect(new GitForge({ folder }).start()).rejects.toMatchObject({ kind: 'mistake', hint: /Install git/ });
      await writeFile(join(bin, 'git'), '#!/bin/sh\necho git version 2.17.1\n');
      await chmod(join(bin, 'git'), 0o755);
      await expect(new GitForge({ folder }).start()).rejects.toThrow(
        'needs git 2.25 or newer, and found "git version 2.17.1"',
      );
    } finally {
      process.env['PATH'] = path;
    }
  });

  test('makes a repository once, also when asked twenty times at once', async () => {
    const { forge, folder } = await setup();
    await Promise.all(Array.from({ length: 20 }, () => forge.store.create('crowd')));
    expect(await forge.repositories()).toEqual(['crowd', 'shop']);
    expect((await readdir(folder)).filter((entry) => entry.startsWith('.making'))).toEqual([]);
  });

  test('removes a repository, and forgets what it knew of it', async () => {
    const { forge, developer } = await setup();
    const sha = await developer.commit('first');
    await developer.git('push', '-q', 'origin', 'main');
    await forge.commit('shop', sha);
    await forge.removeRepository('shop');
    await forge.removeRepository('shop');
    expect(await forge.repositories()).toEqual([]);
    await forge.store.create('shop');
    await expect(forge.commit('shop', sha)).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('says which app names are allowed', async () => {
    const { forge } = await setup();
    for (const name of ['', 'a', 'Shop', '1shop', 'shop-', 'sh op', '../shop', 'a'.repeat(41)]) {
      await expect(forge.store.create(name), name).rejects.toMatchObject({
        kind: 'mistake',
        message: /2 to 40 characters/,
      });
    }
    await forge.store.create(`a${'b'.repeat(39)}`);
  });

  test('removes at start what a killed process was still making', async () => {
    const { forge, folder } = await setup();
    await mkdir(join(folder, '.making-x'));
    await mkdir(join(folder, '.removing-y'));
    await mkdir(join(folder, '.index-z'));
    await forge.start();
    expect((await readdir(folder)).sort()).toEqual(['.home', 'shop.git']);
  });

  test('is not misled by replace refs or the configuration of this machine', async () => {
    const { forge, developer } = await setup();
    const one = await developer.commit('one', { a: '1' });
    const two = await developer.commit('two', { a: '2' });
    await developer.git('push', '-q', 'origin', 'main');
    execFileSync('git', ['--git-dir', forge.store.path('shop'), 'replace', two, one], {
      env: { PATH: process.env['PATH'] ?? '' },
    });
    expect(await forge.readFile('shop', two, 'a')).toBe('2');
  });

  test('sums up what changed from one commit to another', async () => {
    const { forge, developer } = await setup();
    const from = await developer.commit('first', { a: '1\n2\n', b: 'x\n' });
    const second = await developer.commit('second: ä', { a: '1\n3\n4\n' });
    const to = await developer.commit('third', { c: 'c\n' });
    await developer.git('push', '-q', 'origin', 'main');
    expect(await forge.diffSummary('shop', from, to)).toEqual({
      files: 2,
      insertions: 3,
      deletions: 1,
      commits: [
        { sha: to, subject: 'third' },
        { sha: second, subject: 'second: ä' },
      ],
    });
    expect(await forge.diffSummary('shop', to, to)).toMatchObject({ files: 0, commits: [] });
  });

  test('maintenance packs, and keeps what only a released commit refers to', async () => {
    const { forge, developer } = await setup();
    const base = await developer.commit('base');
    const lost = await developer.commit('lost', { a: 'lost' });
    await developer.git('push', '-q', 'origin', 'main');
    await forge.keep('shop', [base, lost]);
    await developer.git('reset', '-q', '--hard', base);
    const other = await developer.commit('other');
    await developer.git('push', '-q', '--force', 'origin', 'main');
    await forge.keep('shop', [other]);
    await forge.maintain('shop');
    execFileSync('git', ['--git-dir', forge.store.path('shop'), 'prune', '--expire=now']);
    expect(await forge.readFile('shop', lost, 'a')).toBe('lost');
    const kept = execFileSync('git', [
      '--git-dir',
      forge.store.path('shop'),
      'for-each-ref',
      '--format=%(refname)',
      'refs/slipway',
    ]);
    expect(kept.toString().trim().split('\n').sort()).toEqual(
      [lost, other].map((sha) => `refs/slipway/keep/${sha}`).sort(),
    );
  });

  test('a full disk is transient, and the folder is clean again', async (context) => {
    const { forge, developer, folder } = await setup();
    const small = join(folder, 'small');
    await mkdir(small);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      context.skip('needs the right to mount a small file system');
    }
    try {
      const files = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${i}`, `${i}`.repeat(60_000)]));
      const sha = await developer.commit('large', files);
      await developer.git('push', '-q', 'origin', 'main');
      await expect(forge.checkout('shop', sha, join(small, 'new'))).rejects.toMatchObject({
        kind: 'transient',
        message: /disk is full/,
      });
      expect(await readdir(small)).toEqual([]);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  test('branch names that are not UTF-8 go there and back', () => {
    const bytes = [Buffer.from('main'), Buffer.from('grün/✓'), Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x9c])];
    for (const name of bytes) expect(encodeName(decodeName(name))).toEqual(name);
    expect(decodeName(Buffer.from([0x61, 0xff]))).toBe('a\\xff');
  });

  test('tells links that stay inside from links that could leave', () => {
    const inside: Array<[string, string]> = [
      ['a', 'b'],
      ['a', './b/c'],
      ['d/a', '../b'],
      ['d/e/a', '../../b'],
      ['a', '.'],
    ];
    const outside: Array<[string, string]> = [
      ['a', '/b'],
      ['a', '..'],
      ['d/a', '../..'],
      ['d/a', '../../b'],
      ['a', 'b/../c'],
    ];
    for (const [link, target] of inside) expect(staysInside(link, target), `${link} -> ${target}`).toBe(true);
    for (const [link, target] of outside) expect(staysInside(link, target), `${link} -> ${target}`).toBe(false);
  });
});
