import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort, startProcess, temporaryFolder, testDatabase, waitFor, type TestProcess } from '@slipway/testing';
import { filesOf } from '../home.ts';
import { entry, slipway } from '../test/slipway.ts';
import { trustedJson } from '../trusted-json.ts';
import { lockOwner } from './lock.ts';
import { isRunning } from './process-identity.ts';
import { readState, writeState, type PartName } from './state.ts';
import type { UpInfo } from './supervise.ts';

/** `up` and `down` with real processes: PostgreSQL, the agent, the control plane. */

// Shorter than the time of a test, so that what did not happen is named.
const START_SECONDS = 40;
const partNames: PartName[] = ['postgres', 'agent', 'server'];

describe('one home', () => {
  let home: string;
  let ports: { port: number; routerPort: number };

  beforeAll(async () => {
    home = await temporaryFolder();
    ports = { port: await freePort(), routerPort: await freePort() };
  });
  afterAll(async () => {
    await slipway(['down'], { home });
  });

  const up = () => startUp(['--port', String(ports.port), '--router-port', String(ports.routerPort)], home);

  test('up --json says where it is once it answers, and a second up says the same', async () => {
    const first = up();
    const info = await ready(first);
    expect(info).toEqual({
      url: `http://127.0.0.1:${ports.port}`,
      routerUrl: `http://127.0.0.1:${ports.routerPort}`,
      token: readFileSync(filesOf(home).token, 'utf8').trim(),
      home,
    });
    expect((await fetch(`${info.url}/healthz`)).status).toBe(200);
    const me = await fetch(`${info.url}/api/me`, { headers: { authorization: `Bearer ${info.token}` } });
    expect(await me.json()).toMatchObject({ role: 'admin' });

    const second = await slipway(['up', '--json'], { home });
    expect(second).toEqual({ code: 0, stdout: `${JSON.stringify(info)}\n`, stderr: '' });
    expect((await slipway(['status', '--json'], { home })).stdout).toBe('{"apps":[]}\n');

    first.signal('SIGINT');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(livingParts(home)).toEqual([]);
    expect((await slipway(['status'], { home })).stderr).toContain('Start it: slipway up');
  });

  test('what is killed is started again, and says so', async () => {
    const running = up();
    const { url } = await ready(running);
    const titles = { server: 'control plane', postgres: 'PostgreSQL', agent: 'agent' };
    for (const name of partNames) {
      const { pid } = part(home, name);
      process.kill(pid, 'SIGKILL');
      await running.waitForOutput(new RegExp(`The ${titles[name]} runs again\\.`), START_SECONDS);
      // It may have said so before, when another part took it along.
      await waitFor(() => part(home, name).pid !== pid && isRunning(part(home, name)), {
        what: `the ${titles[name]} to run again`,
        seconds: START_SECONDS,
      });
    }
    await waitFor(async () => (await fetch(`${url}/healthz`)).ok, { what: 'the control plane to answer', seconds: 30 });
    await waitFor(async () => (await slipway(['status'], { home })).code === 0, {
      what: 'the database to be back',
      seconds: 30,
    });
    running.signal('SIGTERM');
    expect(await running.exited).toEqual({ code: 0, signal: null });
  });

  test('after kill -9 of up the next one adopts what runs, and takes its own ports again', async () => {
    const first = up();
    await ready(first);
    first.signal('SIGKILL');
    await first.exited;
    const left = partNames.map((name) => part(home, name));
    expect(left.every((record) => isRunning(record))).toBe(true);

    const second = startUp([], home);
    expect(await ready(second)).toMatchObject({ url: `http://127.0.0.1:${ports.port}` });
    expect(partNames.map((name) => part(home, name).pid)).toEqual(left.map(({ pid }) => pid));

    // Not its children: their end has to be noticed.
    process.kill(part(home, 'server').pid, 'SIGKILL');
    await second.waitForOutput(/The control plane runs again\./, START_SECONDS);
    second.signal('SIGKILL');
    await second.exited;
    expect(await slipway(['down'], { home })).toEqual({ code: 0, stdout: 'Stopped; the state is kept.\n', stderr: '' });
    expect(livingParts(home)).toEqual([]);
    expect((await slipway(['down'], { home })).stdout).toBe('Nothing runs.\n');
  });

  test('what an up was killed before it had recorded is found by the next one, and by down', async () => {
    for (const next of ['up', 'down'] as const) {
      const killed = up();
      await ready(killed);
      killed.signal('SIGKILL');
      await killed.exited;
      const strays = partNames.map((name) => part(home, name));
      const state = readState(filesOf(home).up);
      writeState(filesOf(home).up, { ...state, parts: {} });
      if (next === 'up') {
        const second = up();
        await ready(second);
        second.signal('SIGTERM');
        await second.exited;
      } else expect((await slipway(['down'], { home })).stdout).toBe('Stopped; the state is kept.\n');
      expect(strays.filter((stray) => isRunning(stray))).toEqual([]);
    }
  });

  test('detached it goes on until down', async () => {
    const up = await slipway(['up', '--detach'], { home });
    expect(up.code).toBe(0);
    expect(up.stdout).toContain(`Dashboard     http://127.0.0.1:${ports.port}/#token=slw_`);
    expect(livingParts(home)).toEqual(partNames);
    expect((await slipway(['down', '--json'], { home })).stdout).toBe('{"stopped":true}\n');
    expect(livingParts(home)).toEqual([]);
  });
});

test('killed at any step of its first start, up finishes it the next time', async () => {
  const home = await temporaryFolder();
  onTestFinished(async () => void (await slipway(['down'], { home })));
  const ports = ['--port', String(await freePort()), '--router-port', String(await freePort())];
  const files = filesOf(home);
  const steps: Record<string, () => boolean> = {
    'the lock is taken': () => lockOwner(files.lock) !== null,
    'the database is being made': () => readdirSync(join(files.data, 'postgres')).length > 0,
    'the agent was started': () => readState(files.up).parts.agent !== undefined,
    'PostgreSQL runs': () => readState(files.up).parts.postgres !== undefined,
    'the control plane was started': () => readState(files.up).parts.server !== undefined,
  };
  for (const [what, reached] of Object.entries(steps)) {
    const killed = startUp(ports, home);
    const step = () => {
      expect(killed.output()).toBe('');
      return reached();
    };
    await waitFor(step, { what, seconds: START_SECONDS });
    await killed.kill();
  }
  await ready(startUp(ports, home));
  expect((await slipway(['status', '--json'], { home })).stdout).toBe('{"apps":[]}\n');
});

test('a port that is taken is an error before anything is started', async () => {
  const home = await temporaryFolder();
  const port = await freePort();
  const stranger = createServer().listen(port, '127.0.0.1');
  onTestFinished(() => void stranger.close());
  const { code, stderr } = await slipway(['up', '--router-port', String(port)], { home });
  expect(code).toBe(1);
  expect(stderr).toMatch(
    new RegExp(`port ${port} for the router is taken by .*\\(process ${process.pid}\\)\\. Stop that, or choose`),
  );
  expect(livingParts(home)).toEqual([]);
});

test('with DATABASE_URL no PostgreSQL is started; one that does not answer is an error', async () => {
  const home = await temporaryFolder();
  onTestFinished(async () => void (await slipway(['down'], { home })));
  const database = await testDatabase();
  const ports = ['--port', String(await freePort()), '--router-port', String(await freePort())];
  const running = startUp(ports, home, { DATABASE_URL: database.url });
  await ready(running);
  expect(livingParts(home)).toEqual(['agent', 'server']);
  running.signal('SIGTERM');
  await running.exited;

  const nobody = `postgres://127.0.0.1:${await freePort()}/none`;
  const failed = await slipway(['up', ...ports], { home, env: { DATABASE_URL: nobody } });
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain(`Its log: ${join(home, 'logs', 'server.log')}`);
  expect(livingParts(home)).toEqual([]);
});

function startUp(args: string[], home: string, env: Record<string, string> = {}): TestProcess {
  return startProcess(process.execPath, [entry, 'up', '--json', '--home', home, ...args], {
    env: { DATABASE_URL: undefined, NO_COLOR: '1', FORCE_COLOR: undefined, ...env },
  });
}

async function ready(up: TestProcess): Promise<UpInfo> {
  const [line] = await up.waitForOutput(/^\{"url".*\}$/m, START_SECONDS);
  return trustedJson<UpInfo>(line);
}

function part(home: string, name: PartName) {
  const record = readState(filesOf(home).up).parts[name];
  if (record === undefined) throw new Error(`${name} was not started`);
  return record;
}

function livingParts(home: string): PartName[] {
  const { parts } = readState(filesOf(home).up);
  return partNames.filter((name) => parts[name] !== undefined && isRunning(parts[name]));
}
