import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { waitFor } from '@slipway/testing';
import { afterEach, describe, expect, test } from 'vitest';
import type { Developer } from '../conformance/index.ts';
import { GitServer } from './git-server-fixture.ts';
import { bandPacket, pktLine } from './pkt-line.ts';
import type { ServeGitOptions } from './serve-git-options.ts';

const execute = promisify(execFile);
const servers: GitServer[] = [];
const children: ChildProcess[] = [];
const lines: Server[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) killGroup(child);
  for (const line of lines.splice(0)) line.close();
  for (const server of servers.splice(0)) await server.stop();
});

async function start(options: Partial<ServeGitOptions> = {}): Promise<GitServer> {
  const server = await GitServer.start(options);
  servers.push(server);
  return server;
}

/** Everything git printed and how it ended. */
interface Printed {
  code: number;
  text: string;
}

async function attempt(developer: Developer, ...args: string[]): Promise<Printed> {
  try {
    return { code: 0, text: await developer.git(...args) };
  } catch (error) {
    if (!(error instanceof Error && 'stderr' in error && 'code' in error)) throw error;
    return { code: Number(error.code), text: String(error.stderr) };
  }
}

interface LivePush {
  child: ChildProcess;
  /** What it printed so far. */
  text: () => string;
  ended: Promise<number | null>;
}

/** A push that the test can watch and kill, in a process group of its own (git starts helpers). */
function pushLive(developer: Developer, ...args: string[]): LivePush {
  const env = { PATH: process.env['PATH'] ?? '', HOME: developer.folder, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
  const child = spawn('git', ['push', ...args], {
    cwd: developer.folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { child, text: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(-(child.pid ?? 0), signal);
  } catch {
    // It has ended.
  }
}

/** Process ids of git children that work on this server's repositories. */
async function gitChildren(server: GitServer, command: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const home = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (line.includes(command) && home.includes(`HOME=${server.folder}/`)) found.push(Number(pid));
  }
  return found;
}

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
    const server = await start();
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
    const server = await start();
    const developer = await server.developer('shop');
    await developer.commit('first', { 'a.txt': 'a' });
    await developer.git('push', '-q', 'origin', 'main:trunk');
    await developer.git('push', '-q', 'origin', 'main:main');
    expect(await server.forge.defaultBranch('shop')).toBe('trunk');
    await developer.git('clone', '-q', server.url('shop'), 'cloned');
    expect(await readFile(join(developer.folder, 'cloned/a.txt'), 'utf8')).toBe('a');
  });

  test('discovery and a trial request create nothing', async () => {
    const server = await start();
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
    const server = await start();
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
    const server = await start();
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
    const server = await start();
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
    const server = await start();
    const developer = await server.developer('shop');
    await writeFile(join(developer.folder, 'large.bin'), randomBytes(20 * 1024 * 1024));
    const sha = await developer.commit('large');
    await developer.git('push', '-q', 'origin', 'main');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
  });

  test('more than a push may bring is refused in words, and nothing is stored', async () => {
    const server = await start({ maximumPackBytes: 100_000 });
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
    const server = await start();
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

describe('who may', () => {
  test.each([
    ['a wrong token', 'wrong', 'shop', /Authentication failed|could not read/],
    ['a viewer', 'viewer', 'shop', /remote: A viewer may not push/],
    ['a deployer, for an app that is not there', 'deployer', 'other', /remote: There is no app "other" here/],
    ['a name that can not be', 'admin', 'Bad_Name', /remote: .*2 to 40 characters/s],
  ])('%s is refused in words', async (_, token, app, message) => {
    const server = await start();
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
    const server = await start();
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
    const server = await start();
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

describe('the console', () => {
  test('lines arrive while the work goes on, and the push ends with it', async () => {
    const server = await start({ keepAliveMs: 20 });
    const developer = await server.developer('shop');
    await developer.commit('first');
    const gate = Promise.withResolvers<void>();
    server.onPush = async (_app, _actor, _changes, console) => {
      console.line('check test ... passed 1.2s');
      await gate.promise;
      console.line('\x1b[32mstaging\x1b[0m: release 1 ready\x1b[2J\r\nhttp://staging.shop.localhost');
    };
    const push = pushLive(developer, 'origin', 'main');
    await waitFor(() => push.text().includes('remote: check test ... passed 1.2s'), { what: 'the first line' });
    expect(push.child.exitCode).toBeNull();
    expect(push.text()).not.toContain('staging');
    // Others are not kept waiting.
    const other = await server.developer('shop');
    server.onPush = async () => {};
    await other.commit('other');
    await other.git('push', '-q', 'origin', 'main:other');
    gate.resolve();
    expect(await push.ended).toBe(0);
    expect(push.text()).toContain('remote: \x1b[32mstaging\x1b[0m: release 1 ready');
    expect(push.text()).toContain('remote: http://staging.shop.localhost');
    expect(push.text()).not.toContain('\x1b[2J');
    expect(push.text()).toMatch(/\[new branch\]\s+main -> main/);
  });

  test('Ctrl-C ends the console, not the work: the push stays', async () => {
    const server = await start();
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    const gone = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<void>();
    server.onPush = async (_app, _actor, _changes, console) => {
      console.line('deploying');
      console.signal.addEventListener('abort', () => gone.resolve());
      await gone.promise;
      console.line('nobody sees this');
      finished.resolve();
    };
    const push = pushLive(developer, 'origin', 'main');
    await waitFor(() => push.text().includes('remote: deploying'), { what: 'the console to open' });
    killGroup(push.child, 'SIGINT');
    await finished.promise;
    await push.ended;
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
    expect(server.changes).toHaveLength(1);
    server.onPush = async () => {};
    expect(await attempt(developer, 'push', 'origin', 'main')).toMatchObject({ code: 0, text: /up-to-date/ });
  });

  test('a stopping Slipway lets the client go with a word', async () => {
    const server = await start();
    const developer = await server.developer('shop');
    await developer.commit('first');
    server.onPush = (_app, _actor, _changes, console) => {
      console.line('deploying');
      return new Promise((resolve) => console.signal.addEventListener('abort', () => resolve()));
    };
    const push = pushLive(developer, 'origin', 'main');
    await waitFor(() => push.text().includes('remote: deploying'), { what: 'the console to open' });
    await server.forge.stop();
    expect(await push.ended).toBe(0);
    expect(push.text()).toContain('remote: Slipway is stopping. The push is stored');
  });

  test('a failure after the push is told, and the push stays', async () => {
    const server = await start();
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    server.onPush = () => Promise.reject(new Error('the database is away'));
    const { code, text } = await attempt(developer, 'push', 'origin', 'main');
    expect(code).toBe(0);
    expect(text).toContain('remote: The push is stored, but what should follow it failed: the database is away');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
  });

  test('a client that can show nothing is served, too', async () => {
    const server = await start();
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    const pack = execFileSync('git', ['pack-objects', '--stdout', '--revs', '-q'], {
      cwd: developer.folder,
      input: 'main\n',
    });
    const command = pktLine(Buffer.from(`${'0'.repeat(40)} ${sha} refs/heads/main\0 report-status\n`));
    // By hand, compressed, and asking first whether to go on, as other clients do.
    const answer = await post(server, gzipSync(Buffer.concat([command, Buffer.from('0000'), pack])));
    expect(answer.continued).toBe(true);
    expect(answer.body).toBe('000eunpack ok\n0017ok refs/heads/main\n0000');
    expect(server.changes).toMatchObject([{ branch: 'main', after: sha }]);
  });

  test('packets have the form that git reads', () => {
    expect(bandPacket(2, 'hi\n').toString()).toBe('0008\x02hi\n');
  });
});

function post(server: GitServer, body: Buffer): Promise<{ continued: boolean; body: string }> {
  return new Promise((resolve, reject) => {
    const url = new URL(`${server.url('shop', null)}/git-receive-pack`);
    const headers = {
      Authorization: 'Bearer admin',
      'Content-Type': 'application/x-git-receive-pack-request',
      'Content-Encoding': 'gzip',
      Expect: '100-continue',
    };
    const request = httpRequest(url, { method: 'POST', headers });
    let continued = false;
    request.once('continue', () => {
      continued = true;
      request.end(body);
    });
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.once('end', () => resolve({ continued, body: text }));
    });
    request.flushHeaders();
  });
}

describe('fetching', () => {
  test('protocol version 2, version 0, shallow and compressed requests', async () => {
    const server = await start();
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

describe('interrupted', () => {
  /** A line that passes on 5 MB of what the client sends, and then nothing more until the server answers. */
  async function slowLine(server: GitServer): Promise<{ url: string; full: Promise<void>; cut: () => void }> {
    const full = Promise.withResolvers<void>();
    const { port } = new URL(server.url('shop'));
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
    lines.push(line);
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
    const address = line.address();
    const own = typeof address === 'object' ? address?.port : address;
    return {
      url: server.url('shop').replace(`:${port}/`, `:${own}/`),
      full: full.promise,
      cut: () => sockets.forEach((socket) => socket.destroy()),
    };
  }

  /** A push of 20 MB of which git has 5. */
  async function halfway(
    server: GitServer,
  ): Promise<{ developer: Developer; push: LivePush; sha: string; cut: () => void }> {
    const developer = await server.developer('shop');
    await developer.commit('base');
    await developer.git('push', '-q', 'origin', 'main');
    await writeFile(join(developer.folder, 'large.bin'), randomBytes(20 * 1024 * 1024));
    const sha = await developer.commit('large');
    const line = await slowLine(server);
    const push = pushLive(developer, line.url, 'main');
    await line.full;
    await waitFor(async () => (await gitChildren(server, 'index-pack')).length > 0, { what: 'git to unpack' });
    return { developer, push, sha, cut: line.cut };
  }

  async function pushAgain(server: GitServer, developer: Developer, sha: string): Promise<void> {
    await developer.git('push', '-q', 'origin', 'main');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
    execFileSync('git', ['--git-dir', server.forge.store.path('shop'), 'fsck', '--full'], { stdio: 'pipe' });
    const objects = await readdir(join(server.forge.store.path('shop'), 'objects'));
    expect(objects.filter((entry) => /incoming|tmp/.test(entry))).toEqual([]);
  }

  test('the client is killed in the middle', async () => {
    const server = await start();
    const { developer, push, sha, cut } = await halfway(server);
    killGroup(push.child);
    cut();
    await push.ended;
    await waitFor(async () => (await gitChildren(server, 'receive-pack')).length === 0, {
      what: 'receive-pack to end',
    });
    await pushAgain(server, developer, sha);
  });

  test('receive-pack is killed in the middle', async () => {
    const server = await start();
    const { developer, push, sha } = await halfway(server);
    for (const pid of await gitChildren(server, 'receive-pack')) process.kill(pid, 'SIGKILL');
    expect(await push.ended).not.toBe(0);
    expect(push.text()).toMatch(/Slipway was interrupted while it received this push. Push again/);
    expect(await gitChildren(server, 'index-pack')).toEqual([]);
    await pushAgain(server, developer, sha);
  });

  test('a client that stalls does not keep others from pushing', async () => {
    const server = await start({ stalledMs: 100 });
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    const command = pktLine(Buffer.from(`${'0'.repeat(40)} ${sha} refs/heads/stalled\0 report-status side-band-64k\n`));
    const request = httpRequest(`${server.url('shop', null)}/git-receive-pack`, {
      method: 'POST',
      headers: { Authorization: 'Bearer admin', 'Content-Type': 'application/x-git-receive-pack-request' },
    });
    request.on('error', () => {});
    request.write(command);
    await waitFor(async () => (await gitChildren(server, 'receive-pack')).length > 0, {
      what: 'receive-pack to start',
    });
    await developer.git('push', '-q', 'origin', 'main');
    expect(await server.forge.refs('shop')).toEqual(new Map([['main', sha]]));
    request.destroy();
  });

  test('locks that a killed Slipway left behind do not refuse pushes', async () => {
    const server = await start();
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
    const server = await start();
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
