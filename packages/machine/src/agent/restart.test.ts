import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostOf, instancesOf, plan, release, service, worker } from '@slipway/engine/conformance';
import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { running, watchedAgent } from './agent-under-test.ts';
import type { EnvironmentRecord } from './record.ts';

function stateFile(folder: string): string {
  return join(folder, 'environments', 'restart', 'one', 'state.json');
}

function readState(folder: string): EnvironmentRecord {
  const record: EnvironmentRecord = JSON.parse(readFileSync(stateFile(folder), 'utf8'));
  return record;
}

test('a removal that kill -9 interrupted is finished by the next agent', async () => {
  const { engine, watcher, artifact, request, folder, end, start } = await watchedAgent();
  const app = await artifact({
    'stubborn.js': `
      process.on('SIGTERM', () => {});
      require('node:http').createServer((request, response) => response.end(String(process.pid))).listen(process.env.PORT);`,
  });
  const stubborn = service('web', 'node stubborn.js', { health: null, stopSeconds: 2 });
  await engine.converge(plan('restart/one', 1, [release(1, app, { services: [stubborn] })]));
  await watcher.serves('restart/one', 1);
  const pid = Number(await (await request(hostOf('restart/one'), '/')).text());
  const removal = engine.remove('restart/one').catch((error: unknown) => error);
  await waitFor(() => readState(folder).instances[0]?.state === 'draining', { what: 'the removal to have begun' });
  await end('SIGKILL');
  expect(await removal).toMatchObject({ kind: 'transient' });
  expect(running(pid)).toBe(true);
  await start();
  await waitFor(() => !existsSync(join(folder, 'environments', 'restart', 'one')), {
    what: 'the environment to be gone',
    seconds: 20,
  });
  expect(running(pid)).toBe(false);
  expect((await request(hostOf('restart/one'), '/')).status).toBe(404);
  await engine.remove('restart/one');
});

test.for(['ready', 'draining'] as const)(
  'a process that got the pid of a %s one is neither adopted nor ended, however it is grouped',
  async (state) => {
    const { engine, watcher, app, folder, end, start } = await watchedAgent();
    await engine.converge(plan('restart/one', 1, [release(1, app)]));
    const before = instancesOf(await watcher.serves('restart/one', 1), 1)[0];
    await end('SIGTERM');
    process.kill(before?.pid ?? 0, 'SIGKILL');
    // A leader of its own group and session, as a daemon that got the number after a boot.
    const stranger = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    onTestFinished(() => void stranger.kill('SIGKILL'));
    await once(stranger, 'spawn');
    const record = readState(folder);
    for (const instance of record.instances) {
      instance.pid = stranger.pid ?? 0;
      instance.state = state;
    }
    await writeFile(stateFile(folder), JSON.stringify(record));
    await start();
    const after = await watcher.until(
      'restart/one',
      'a process of its own',
      (seen) => seen.traffic.length === 1 && seen.instances.every((one) => one.state === 'ready'),
    );
    expect(after.instances).toHaveLength(1);
    expect(after.instances[0]?.pid).not.toBe(stranger.pid);
    expect(running(stranger.pid ?? 0)).toBe(true);
  },
);

test('apps that write go on without any agent, and what fits into their FIFOs is read by the next one', async () => {
  const { engine, watcher, artifact, folder, end, start } = await watchedAgent();
  const app = await artifact({
    'writer.js': `
      let count = 0;
      setInterval(() => {
        if (count < 100) console.log('line ' + (count += 1));
        else require('node:fs').writeFileSync(process.env.HOME + '/done', '');
      }, 10);`,
  });
  await engine.converge(
    plan('restart/one', 1, [release(1, app, { services: [], workers: [worker('writer', 'exec node writer.js')] })]),
  );
  const status = await watcher.until(
    'restart/one',
    'the writer',
    (seen) => instancesOf(seen, 1, 'writer')[0]?.state === 'ready',
  );
  const { id, pid } = status.instances[0] ?? { id: '', pid: null };
  await end('SIGKILL');
  const done = join(folder, 'instances', id, 'home', 'done');
  await waitFor(() => existsSync(done), { what: 'all lines to be written' });
  expect(running(pid ?? 0)).toBe(true);
  await start();
  const written = async (): Promise<string[]> => {
    const request = { environment: 'restart/one', source: 'writer', lines: 1000, follow: false };
    return (await Array.fromAsync(engine.logs(request, new AbortController().signal))).map((line) => line.line);
  };
  await waitFor(async () => (await written()).at(-1) === 'line 100', { what: 'the last line' });
  // What the killed agent had read but not written yet is lost with it; nothing comes twice or out of order.
  const numbers = (await written()).map((line) => Number(line.split(' ')[1]));
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  expect(numbers.length).toBeGreaterThan(90);
  expect(running(pid ?? 0)).toBe(true);
});
