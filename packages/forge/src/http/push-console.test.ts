import { execFileSync } from 'node:child_process';
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { waitFor } from '@slipway/testing';
import { describe, expect, test } from 'vitest';
import type { GitServer } from './git-server-fixture.ts';
import { bandPacket, pktLine } from './pkt-line.ts';
import { attempt, killGroup, pushLive, startServer } from './pushes-under-test.ts';

describe('the console', () => {
  test('lines arrive while the work goes on, and the push ends with it', async () => {
    const server = await startServer({ keepAliveMs: 20 });
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
    const server = await startServer();
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
    const server = await startServer();
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
    const server = await startServer();
    const developer = await server.developer('shop');
    const sha = await developer.commit('first');
    server.onPush = () => Promise.reject(new Error('the database is away'));
    const { code, text } = await attempt(developer, 'push', 'origin', 'main');
    expect(code).toBe(0);
    expect(text).toContain('remote: The push is stored, but what should follow it failed: the database is away');
    expect((await server.forge.refs('shop')).get('main')).toBe(sha);
  });

  test('a client that can show nothing is served, too', async () => {
    const server = await startServer();
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
