import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { startProcess, temporaryFolder, waitFor } from '@slipway/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Developer } from '../conformance/index.ts';
import type { GitServer } from './git-server-fixture.ts';
import { pktLine } from './pkt-line.ts';
import { attempt, gitChildren, killGroup, type LivePush, pushLive, startServer } from './pushes-under-test.ts';

describe('interrupted', () => {
  /** A line that passes on 5 MB of what the client sends, and then nothing more until the server answers. */
  async function slowLine(url: string): Promise<{ url: string; full: Promise<void>; cut: () => void }> {
    const full = Promise.withResolvers<void>();
    const { port } = new URL(url);
    const sockets: Socket[] = [];
    const line = createServer((client) => {
      const upstream = connect(Number(port), '127.0.0.1');
      sockets.push(client, upstream);
      let passed = 0;
      let held: 'no' | 'yes' | 'answered' = 'no';
      client.on('data', (chunk) => {
        passed += chunk.length;
        upstream.write(chunk);
        if (passed < 5_000_000 || held === 'answered') return;
        held = 'yes';
        client.pause();
        full.resolve();
      });
      upstream.on('data', () => {
        if (held === 'yes') held = 'answered';
        client.resume();
      });
      client.on('close', () => upstream.destroy()).on('error', () => {});
      upstream.on('close', () => client.destroy()).on('error', () => {});
      upstream.pipe(client);
    });
    onTestFinished(() => void line.close());
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
    const address = line.address();
    const own = typeof address === 'object' ? address?.port : address;
    return {
      url: url.replace(`:${port}/`, `:${own}/`),
      full: full.promise,
      cut: () => sockets.forEach((socket) => socket.destroy()),
    };
  }

  /** A push of 20 MB of which git has 5. */
  async function halfway(
    server: { url: string; folder: string },
    developer: Developer,
  ): Promise<{ push: LivePush; sha: string; cut: () => void }> {
    await developer.commit('base');
    await developer.git('push', '-q', 'origin', 'main');
    await writeFile(join(developer.folder, 'large.bin'), randomBytes(20 * 1024 * 1024));
    const sha = await developer.commit('large');
    const line = await slowLine(server.url);
    const push = pushLive(developer, line.url, 'main');
    await line.full;
    await waitFor(async () => (await gitChildren(server, 'index-pack')).length > 0, { what: 'git to unpack' });
    return { push, sha, cut: line.cut };
  }

  /** A Slipway to be killed, and a developer who pushes to it. */
  async function startDoomed(refsUpdated: 'go on' | 'hang') {
    const folder = await temporaryFolder();
    const program = join(import.meta.dirname, 'git-server-under-test.ts');
    const doomed = startProcess(process.execPath, [program, folder, refsUpdated]);
    const [, url = ''] = await doomed.waitForOutput(/serves (\S+)/);
    const developer = await Developer.clone(url);
    onTestFinished(() => developer.remove());
    const kill = async () => {
      doomed.signal('SIGKILL');
      await doomed.exited;
    };
    /** The next Slipway on the same repositories, which the developer pushes to from now on. */
    const restart = async () => {
      const server = await startServer({}, folder);
      await developer.git('remote', 'set-url', 'origin', server.url('shop'));
      return server;
    };
    return { doomed, url, folder, developer, kill, restart };
  }

  async function pushAgain(server: GitServer, developer: Developer, sha: string): Promise<void> {
    await developer.git('push', '-q', 'origin', 'main');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
    execFileSync('git', ['--git-dir', server.forge.store.path('shop'), 'fsck', '--full'], { stdio: 'pipe' });
    const objects = await readdir(join(server.forge.store.path('shop'), 'objects'));
    expect(objects.filter((entry) => /incoming|tmp/.test(entry))).toEqual([]);
  }

  test('the client is killed in the middle', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const { push, sha, cut } = await halfway({ url: server.url('shop'), folder: server.folder }, developer);
    killGroup(push.child);
    cut();
    await push.ended;
    await waitFor(async () => (await gitChildren(server, 'receive-pack')).length === 0, {
      what: 'receive-pack to end',
    });
    await pushAgain(server, developer, sha);
  });

  test('receive-pack is killed in the middle', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const { push, sha } = await halfway({ url: server.url('shop'), folder: server.folder }, developer);
    for (const pid of await gitChildren(server, 'receive-pack')) process.kill(pid, 'SIGKILL');
    expect(await push.ended).not.toBe(0);
    expect(push.text()).toMatch(/Slipway was interrupted while it received this push. Push again/);
    expect(await gitChildren(server, 'index-pack')).toEqual([]);
    await pushAgain(server, developer, sha);
  });

  test('Slipway is killed while it takes a pack: the branch is as before, and the push can be repeated', async () => {
    const { url, folder, developer, kill, restart } = await startDoomed('go on');
    const { push, sha } = await halfway({ url, folder }, developer);
    await kill();
    expect(await push.ended).not.toBe(0);
    const server = await restart();
    expect((await server.forge.refs('shop')).get('main')).toBe(await developer.git('rev-parse', 'main~1'));
    await pushAgain(server, developer, sha);
  });

  test('Slipway is killed right after the refs were updated: the push is there, and clones find its branch', async () => {
    const { doomed, developer, kill, restart } = await startDoomed('hang');
    const first = await developer.commit('first', { 'a.txt': 'a' });
    const push = pushLive(developer, 'origin', 'main:trunk');
    await doomed.waitForOutput(/refs are updated/);
    await kill();
    expect(await push.ended).not.toBe(0);
    const server = await restart();
    expect(await server.forge.refs('shop')).toEqual(new Map([['trunk', first]]));
    await developer.git('clone', '-q', server.url('shop'), 'cloned');
    expect(await readdir(join(developer.folder, 'cloned'))).toContain('a.txt');
    // What the killed process had not noted: the old head stays known when the branch is overwritten.
    await developer.git('commit', '-q', '--amend', '--allow-empty', '-m', 'another');
    await developer.git('push', '-q', '--force', 'origin', 'main:trunk');
    expect((await server.forge.commit('shop', first)).sha).toBe(first);
    const hold = `refs/slipway/keep/${first}`;
    const at = ['--git-dir', server.forge.store.path('shop')];
    expect(
      execFileSync('git', [...at, 'rev-parse', hold])
        .toString()
        .trim(),
    ).toBe(first);
  });

  test('a client that stalls does not keep others from pushing', async () => {
    const server = await startServer({ stalledMs: 100 });
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    const command = pktLine(Buffer.from(`${'0'.repeat(40)} ${sha} refs/heads/stalled\0 report-status side-band-64k\n`));
    const request = httpRequest(`${server.url('shop', null)}/git-receive-pack`, {
      method: 'POST',
      headers: { Authorization: 'Bearer admin', 'Content-Type': 'application/x-git-receive-pack-request' },
    });
    request.on('error', () => {});
    request.write(command);
    // It makes the repository and takes its turn there. Its receive-pack is no sign of it: that one is ended soon.
    await waitFor(() => server.forge.store.exists('shop'), { what: 'the stalled push to have its turn' });
    await developer.git('push', '-q', 'origin', 'main');
    expect(await server.forge.refs('shop')).toEqual(new Map([['main', sha]]));
    request.destroy();
  });

  test('locks that a killed Slipway left behind do not refuse pushes', async () => {
    const server = await startServer();
    const developer = await server.developer('shop');
    await developer.commit('first');
    await server.forge.store.create('shop');
    const repository = server.forge.store.path('shop');
    await mkdir(join(repository, 'refs/heads'), { recursive: true });
    await writeFile(join(repository, 'refs/heads/main.lock'), '');
    await writeFile(join(repository, 'packed-refs.lock'), '');
    await developer.git('push', '-q', 'origin', 'main');
    expect(server.logged.join('\n')).toMatch(/Removed 2 leftovers/);
  });

  test('a full disk is told to who pushes, and nothing is stored', async (context) => {
    const server = await startServer();
    const developer = await server.developer('shop');
    const base = await developer.commit('base');
    await developer.git('push', '-q', 'origin', 'main');
    const objects = join(server.forge.store.path('shop'), 'objects/pack');
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', join(objects, '..')], { stdio: 'ignore' });
    } catch {
      context.skip('needs the right to mount a small file system');
    }
    try {
      await mkdir(objects);
      await developer.git('reset', '-q', '--soft', base);
      await writeFile(join(developer.folder, 'large.bin'), randomBytes(4 * 1024 * 1024));
      await developer.git('checkout', '-q', '--orphan', 'fresh');
      await developer.commit('large');
      const { code, text } = await attempt(developer, 'push', 'origin', 'fresh');
      expect(code).not.toBe(0);
      expect(text).toMatch(/remote: The disk of Slipway is full/);
    } finally {
      execFileSync('umount', [join(objects, '..')]);
    }
    expect([...(await server.forge.refs('shop')).keys()]).toEqual(['main']);
  });
});
