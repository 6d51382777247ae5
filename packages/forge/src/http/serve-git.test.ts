import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { attempt, startServer } from './pushes-under-test.ts';

const execute = promisify(execFile);

describe('who may', () => {
  test.each([
    ['a wrong token', 'wrong', 'shop', /Authentication failed|could not read/],
    ['a viewer', 'viewer', 'shop', /remote: A viewer may not push/],
    ['a deployer, for an app that is not there', 'deployer', 'other', /remote: There is no app "other" here/],
    ['a name that can not be', 'admin', 'Bad_Name', /remote: .*2 to 40 characters/s],
  ])('%s is refused in words', async (_, token, app, message) => {
    const server = await startServer();
    await server.forge.store.create('shop');
    const developer = await server.developer(app, token);
    await developer.commit('first');
    const { code, text } = await attempt(developer, 'push', 'origin', 'main');
    expect(code).not.toBe(0);
    expect(text).toMatch(message);
    expect(await server.forge.repositories()).toEqual(['shop']);
    expect(server.changes).toEqual([]);
  });

  test('a deployer pushes, a viewer reads, and nobody without a token does anything', async () => {
    const server = await startServer();
    await server.forge.store.create('shop');
    const developer = await server.developer('shop', 'deployer');
    const sha = await developer.commit('first');
    await developer.git('push', '-q', 'origin', 'main');
    expect(await developer.git('ls-remote', server.url('shop', 'viewer'), 'main')).toContain(sha);
    const refused = await fetch(`${server.url('shop', null)}/info/refs?service=git-upload-pack`);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe('Basic realm="Slipway"');
    expect(await refused.text()).toBe('Give a token as the password.\n');
  });

  test('other methods, paths, types and the dumb protocol are refused', async () => {
    const server = await startServer();
    await server.forge.store.create('shop');
    const ask = async (path: string, init: RequestInit = {}): Promise<number> => {
      const response = await fetch(`${server.url('shop', null)}${path}`, {
        ...init,
        headers: { Authorization: 'Bearer admin', 'Content-Type': 'text/plain' },
      });
      await response.text();
      return response.status;
    };
    expect(await ask('/info/refs')).toBe(403);
    expect(await ask('/HEAD')).toBe(404);
    expect(await ask('/config')).toBe(404);
    expect(await ask('/git-upload-pack')).toBe(405);
    expect(await ask('/git-upload-pack', { method: 'POST', body: '' })).toBe(415);
    expect(await ask('/../../etc/passwd')).toBe(404);
  });
});

describe('fetching', () => {
  test('protocol version 2, version 0, shallow and compressed requests', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    for (let i = 0; i < 60; i++) await developer.commit(`commit ${i}`, { [`f${i}`]: 'x'.repeat(i) });
    await developer.git('push', '-q', 'origin', 'main');
    for (const version of ['2', '0']) {
      await developer.git(
        '-c',
        `protocol.version=${version}`,
        'clone',
        '-q',
        server.url('shop', 'viewer'),
        `v${version}`,
      );
      expect(await readdir(join(developer.folder, `v${version}`))).toContain('f59');
    }
    await developer.git('clone', '-q', '--depth=1', server.url('shop', 'viewer'), 'shallow');
    const env = { PATH: process.env['PATH'] ?? '', HOME: developer.folder, GIT_TRACE_CURL: '1', GIT_TRACE_PACKET: '1' };
    // Commits of its own make it send a list of what it has, long enough to be compressed.
    const other = await server.developer('shop');
    for (let i = 0; i < 60; i++) await other.commit(`other ${i}`);
    const { stderr } = await execute('git', ['fetch', server.url('shop', 'viewer'), 'main'], {
      cwd: other.folder,
      env,
      maxBuffer: 64 * 1024 * 1024,
    });
    expect(stderr).toMatch(/Content-Encoding: gzip/i);
    expect(stderr).toMatch(/< version 2/);
  });
});
