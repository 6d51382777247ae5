import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Plan, PlannedService } from '@slipway/engine';
import { Watcher, hostOf, instancesOf, plan, release, service, webApp, worker } from '@slipway/engine/conformance';
import { cannotRun, temporaryFolder, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { createMachineEngine } from '../engine.ts';
import { Agent } from './agent.ts';
import { running, watchedAgent } from './agent-under-test.ts';
import { freePort } from './ports.ts';

const isRoot = process.getuid?.() === 0;

const one = (app: string, run: string, more: Partial<PlannedService> = {}, generation = 1): Plan =>
  plan('fault/one', generation, [release(1, app, { services: [service('web', run, more)] })]);

test('a crash loop backs off, keeps telling why, and does not disturb others', async () => {
  const { engine, watcher, request, app } = await watchedAgent();
  await engine.converge(plan('fault/other', 1, [release(1, app)]));
  await engine.converge(one(app, 'node broken.js'));
  await watcher.serves('fault/other', 1);
  const status = await watcher.until(
    'fault/one',
    'three restarts',
    (seen) => (instancesOf(seen, 1)[0]?.restarts ?? 0) >= 3,
  );
  const [instance] = instancesOf(status, 1);
  expect(instance?.failure).toMatchObject({
    code: 'crashed',
    exitCode: 3,
    lastLines: expect.arrayContaining(['reading the config']),
  });
  const starts = watcher
    .history('fault/one')
    .flatMap((seen) => instancesOf(seen, 1))
    .filter((seen) => seen.state === 'failing')
    .map((seen) => seen.since);
  const times = [...new Set(starts)];
  expect((times[2] ?? 0) - (times[1] ?? 0)).toBeGreaterThan((times[1] ?? 0) - (times[0] ?? 0));
  expect((await request(hostOf('fault/other'), '/release')).status).toBe(200);
});

test('an app that listens on another port than PORT is told which', async () => {
  const { engine, watcher, artifact } = await watchedAgent();
  const port = await freePort();
  const app = await artifact({ 'web.js': `require('node:http').createServer().listen(${port});` });
  await engine.converge(one(app, 'node web.js', { startSeconds: 1, stopSeconds: 1 }));
  const status = await watcher.until('fault/one', 'failure', (seen) => instancesOf(seen, 1)[0]?.state === 'failing');
  expect(instancesOf(status, 1)[0]?.failure).toMatchObject({
    code: 'port-closed',
    message: expect.stringContaining(`It listens on ${port} instead`),
  });
});

test('a process that ignores SIGTERM is ended after stopSeconds, with its orphans', async () => {
  const { engine, watcher, artifact, request } = await watchedAgent();
  const app = await artifact({
    ...webApp,
    'stubborn.js': `
      const { spawn } = require('node:child_process');
      process.on('SIGTERM', () => {});
      const same = spawn('sleep', ['600']);
      const away = spawn('sleep', ['601'], { detached: true, stdio: 'ignore' });
      require('node:http').createServer((request, response) => response.end(JSON.stringify([process.pid, same.pid, away.pid]))).listen(process.env.PORT);`,
  });
  await engine.converge(one(app, 'node stubborn.js', { health: null, stopSeconds: 0.5 }));
  await watcher.serves('fault/one', 1);
  const pids: number[] = JSON.parse(await (await request(hostOf('fault/one'), '/')).text());
  expect(pids.map(running)).toEqual([true, true, true]);
  const began = performance.now();
  await engine.remove('fault/one');
  expect(performance.now() - began).toBeGreaterThan(490);
  expect(pids.map(running)).toEqual([false, false, false]);
});

test('orphans of a crashed instance are ended before it starts again', async () => {
  const { engine, watcher, artifact, request } = await watchedAgent();
  const app = await artifact({
    ...webApp,
    'parent.js': `
      const { spawn } = require('node:child_process');
      const child = spawn('sleep', ['600'], { stdio: 'inherit' });
      require('node:http').createServer((request, response) => {
        if (request.url === '/crash') process.exit(1);
        response.end(String(child.pid));
      }).listen(process.env.PORT);`,
  });
  await engine.converge(one(app, 'node parent.js', { health: null }));
  await watcher.serves('fault/one', 1);
  const child = Number(await (await request(hostOf('fault/one'), '/')).text());
  expect(running(child)).toBe(true);
  await request(hostOf('fault/one'), '/crash').catch(() => undefined);
  await watcher.until(
    'fault/one',
    'a restart',
    (seen) => instancesOf(seen, 1)[0]?.restarts === 1 && seen.traffic.length === 1,
  );
  expect(running(child)).toBe(false);
});

test('kill -9 of an instance: it is started again, with the signal as the reason', async () => {
  const { engine, watcher, app } = await watchedAgent();
  await engine.converge(one(app, 'node web.js'));
  const pid = instancesOf(await watcher.serves('fault/one', 1), 1)[0]?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await watcher.until(
    'fault/one',
    'a restart',
    (seen) => instancesOf(seen, 1)[0]?.restarts === 1 && seen.traffic.length === 1,
  );
  const failed = watcher
    .history('fault/one')
    .flatMap((seen) => instancesOf(seen, 1))
    .find((seen) => seen.state === 'failing');
  expect(failed?.failure).toMatchObject({ code: 'crashed', signal: 'SIGKILL' });
});

test('a log flood is slowed down, told, and loses nothing; the router stays quick', async () => {
  const { engine, watcher, request, artifact } = await watchedAgent();
  const lines = 60_000;
  const app = await artifact({
    ...webApp,
    'flood.js': `
      const line = 'x'.repeat(150);
      for (let index = 0; index < ${lines}; index += 1) console.log(index + ' ' + line);
      console.log('flood over');
      setInterval(() => {}, 1000);`,
  });
  await engine.converge(plan('fault/other', 1, [release(1, app)]));
  await watcher.serves('fault/other', 1);
  await engine.converge(
    plan('fault/one', 1, [release(1, app, { services: [], workers: [worker('loud', 'node flood.js')] })]),
  );
  const noticed = await watcher.until('fault/one', 'the notice', (seen) =>
    seen.notices.some((notice) => notice.includes('slowed down')),
  );
  expect(noticed.notices.join()).toContain('log less');
  const began = performance.now();
  expect((await request(hostOf('fault/other'), '/release')).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(1000);
  const read = async (count: number) =>
    await Array.fromAsync(
      engine.logs(
        { environment: 'fault/one', source: 'loud', lines: count, follow: false },
        new AbortController().signal,
      ),
    );
  await waitFor(async () => (await read(1))[0]?.line === 'flood over', { what: 'the end of the flood', seconds: 30 });
  const kept = (await read(50_000))
    .map((line) => Number(line.line.split(' ')[0]))
    .filter((index) => !Number.isNaN(index));
  expect(kept.at(-1)).toBe(lines - 1);
  expect(kept).toEqual(kept.map((_, index) => (kept[0] ?? 0) + index));
});

test('a memory hog is ended and told its limit; its neighbours go on', async () => {
  const { engine, watcher, artifact } = await watchedAgent();
  const app = await artifact({
    'hog.js': `const all = []; setInterval(() => all.push(Buffer.alloc(8 * 1024 * 1024, 1)), 10);`,
  });
  const size = { cpu: 1, memory: 150 * 1024 * 1024 };
  await engine.converge(
    plan('fault/one', 1, [release(1, app, { services: [], workers: [worker('hog', 'node hog.js', { size })] })]),
  );
  const status = await watcher.until(
    'fault/one',
    'its end',
    (seen) => instancesOf(seen, 1, 'hog')[0]?.failure?.code === 'out-of-memory',
  );
  expect(instancesOf(status, 1, 'hog')[0]?.failure?.message).toContain('its limit is 150 MiB');
});

test('a taken port is never routed to; the next start gets another one', async () => {
  const root = await temporaryFolder();
  const foreign = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nforeign'));
  const taken = await new Promise<number>((resolve) => {
    foreign.listen(0, '127.0.0.1', () => {
      const address = foreign.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  const ports = [taken, taken];
  const folder = join(root, 'agent');
  const agent = new Agent({ folder, routerPort: 0, choosePort: async () => ports.pop() ?? (await freePort()) });
  const engine = createMachineEngine({ folder });
  onTestFinished(async () => {
    await agent.stop('shutdown');
    await engine.stop();
    foreign.close();
  });
  await agent.start();
  const watcher = new Watcher(engine);
  const app = join(root, 'app');
  await mkdir(app);
  for (const [name, text] of Object.entries(webApp)) await writeFile(join(app, name), text);
  // The first dies of EADDRINUSE; the second lives on without a port of its own, beside the foreign listener.
  await engine.converge(
    one(
      app,
      '[ "$PORT" = "${TAKEN}" ] && [ -e "$HOME/second" ] && exec sleep 60; touch "$HOME/second"; exec node web.js'.replace(
        '${TAKEN}',
        String(taken),
      ),
    ),
  );
  const status = await watcher.until('fault/one', 'readiness', (seen) => seen.traffic.length === 1);
  await watcher.stop();
  expect(instancesOf(status, 1)[0]?.address).not.toContain(String(taken));
  const failures = watcher
    .history('fault/one')
    .flatMap((seen) => instancesOf(seen, 1))
    .filter((seen) => seen.state === 'failing');
  expect(failures.map((seen) => seen.failure?.message).join()).toContain('Another process listens on port');
  expect(
    watcher
      .history('fault/one')
      .filter((seen) => seen.instances.some((of) => of.state === 'ready' && of.address?.includes(String(taken)))),
  ).toEqual([]);
});

test.skipIf(!isRoot)(
  'a full disk ends neither agent nor apps; plans are refused clearly and the old one stays',
  async (context) => {
    const folder = await temporaryFolder();
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=0755', 'tmpfs', folder]);
    } catch (error) {
      cannotRun('the test of a full disk', `a small tmpfs could not be mounted: ${String(error)}`);
      return context.skip();
    }
    onTestFinished(() => void execFileSync('umount', ['-l', folder]));
    const { engine, watcher, request, app, pid } = await watchedAgent({ folder: join(folder, 'agent') });
    await engine.converge(one(app, 'node web.js'));
    await watcher.serves('fault/one', 1);
    const before = pid();
    // dd ends with an error when the disk is full, which is what is wanted.
    execFileSync('sh', [
      '-c',
      `dd if=/dev/zero of=${folder}/filler bs=64k 2>/dev/null || dd if=/dev/zero of=${folder}/rest bs=1 2>/dev/null || true`,
    ]);
    const big = { BIG: 'x'.repeat(100_000) };
    const next = plan('fault/one', 2, [release(2, app, { variables: big })]);
    await expect(engine.converge(next)).rejects.toMatchObject({
      kind: 'transient',
      message: expect.stringContaining('full'),
    });
    for (let index = 0; index < 200; index += 1) await request(hostOf('fault/one'), `/log?line=${'y'.repeat(500)}`);
    await watcher.until('fault/one', 'the notice', (seen) =>
      seen.notices.some((notice) => notice.includes('the disk is full')),
    );
    expect(await (await request(hostOf('fault/one'), '/release')).text()).toBe('1');
    expect(pid()).toBe(before);
    execFileSync('rm', ['-f', join(folder, 'filler'), join(folder, 'rest')]);
    await request(hostOf('fault/one'), '/log?line=room-again');
    await watcher.until(
      'fault/one',
      'the notice to go',
      (seen) => !seen.notices.some((notice) => notice.includes('the disk is full')),
    );
    await engine.converge(next);
    await watcher.serves('fault/one', 2);
  },
);

test('SIGTERM leaves the apps running for the next agent; shutdown ends them and the next agent starts them', async () => {
  const { engine, watcher, request, app, end, start, folder } = await watchedAgent();
  await engine.converge(one(app, 'node web.js'));
  await watcher.serves('fault/one', 1);
  const first = Number(await (await request(hostOf('fault/one'), '/pid')).text());
  await end('SIGTERM');
  expect(running(first)).toBe(true);
  await start();
  expect(Number(await (await request(hostOf('fault/one'), '/pid')).text())).toBe(first);
  await engine.shutDown();
  expect(running(first)).toBe(false);
  await waitFor(
    async () =>
      await engine.health().then(
        () => false,
        () => true,
      ),
    { what: 'the agent to end', seconds: 15 },
  );
  await waitFor(() => !existsSync(join(folder, 'agent.lock')), { what: 'the lock to be given back', seconds: 15 });
  await start();
  await watcher.until('fault/one', 'a new process', (seen) => seen.traffic.length === 1);
});

test('a second agent of the same folder says who holds it; a taken router port is told', async () => {
  const { folder, pid, routerPort } = await watchedAgent();
  await expect(new Agent({ folder, routerPort: 0 }).start()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining(`process ${pid()}`),
  });
  const elsewhere = new Agent({ folder: await temporaryFolder(), routerPort });
  await expect(elsewhere.start()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining(String(routerPort)),
  });
});

test('what an instance did while no agent was there is found out: an end, and output', async () => {
  const { engine, watcher, request, app, end, start } = await watchedAgent();
  await engine.converge(plan('fault/one', 1, [release(1, app, { workers: [worker('ticker', 'node worker.js')] })]));
  const before = await watcher.serves('fault/one', 1);
  const web = instancesOf(before, 1)[0]?.pid ?? 0;
  const ticks = async (): Promise<number[]> => {
    const lines = await Array.fromAsync(
      engine.logs(
        { environment: 'fault/one', source: 'ticker', lines: 1000, follow: false },
        new AbortController().signal,
      ),
    );
    return lines.filter((line) => line.line.startsWith('tick')).map((line) => Number(line.line.split(' ')[1]));
  };
  await waitFor(async () => (await ticks()).length > 3, { what: 'ticks' });
  await end('SIGTERM');
  process.kill(web, 'SIGKILL');
  const mark = performance.now();
  await waitFor(() => performance.now() - mark > 300, { what: 'some ticks without an agent' });
  await start();
  await watcher.until(
    'fault/one',
    'the service again',
    (seen) => instancesOf(seen, 1)[0]?.restarts === 1 && seen.traffic.length === 1,
  );
  expect((await request(hostOf('fault/one'), '/release')).status).toBe(200);
  await waitFor(async () => (await ticks()).length > 12, { what: 'ticks from before, between and after' });
  const all = await ticks();
  expect(all).toEqual(all.map((_, index) => index + 1));
});

test("the socket is the agent user's own, also where the folder's path is too long for a socket", async () => {
  const long = join(await temporaryFolder(), 'a-rather-long-name-for-a-folder-'.repeat(4));
  const { engine, folder, pid } = await watchedAgent({ folder: long });
  expect(await engine.health()).toMatchObject({ pid: pid(), version: expect.any(String) });
  const path = readFileSync(join(folder, 'agent.sock.path'), 'utf8');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test.skipIf(!isRoot)(
  'as root, apps run as an unprivileged user that can write its HOME and TMPDIR and nothing else',
  async () => {
    const { engine, watcher, app, folder } = await watchedAgent();
    await engine.converge(one(app, 'node web.js'));
    await watcher.serves('fault/one', 1);
    const said: string[] = [];
    const script =
      'id -u; id -g; touch "$HOME/a" "$TMPDIR/b" && echo own; touch ./c || echo sealed; cat "$1" || echo secret';
    const command = ['sh', '-c', script, 'sh', join(folder, 'environments', 'fault', 'one', 'plan.json')];
    await engine.exec(
      { environment: 'fault/one', source: null, command },
      {
        stdin: (async function* () {})(),
        stdout: (chunk) => said.push(Buffer.from(chunk).toString()),
        stderr: () => undefined,
        signal: new AbortController().signal,
      },
    );
    expect(said.join('').trim().split('\n')).toEqual(['65534', '65534', 'own', 'sealed', 'secret']);
  },
);

test('processes of others are left alone, whatever they are called', async () => {
  const other = spawn('sleep', ['600'], { env: { SLIPWAY_INSTANCE: 'fault.one.web.1.0000000000' } });
  onTestFinished(() => void other.kill());
  const { engine, watcher, app } = await watchedAgent();
  await engine.converge(one(app, 'node web.js'));
  await watcher.serves('fault/one', 1);
  await engine.remove('fault/one');
  expect(running(other.pid ?? 0)).toBe(true);
});
