import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { existsSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { isRunning, readStat } from '../processes/index.ts';
import { endOfCommand } from './attempt-end.ts';
import { AttemptCgroups, Cgroup, prepareCgroups, removeEmptyCgroups } from './cgroup.ts';
import { limits, runnerUnderTest } from './runner-under-test.ts';

/** A cgroup of version 2 that this user may make groups in; null where there is none. */
function writableHierarchy(): string | null {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const mount = mounts.map((line) => line.split(' ')).find((fields) => fields[2] === 'cgroup2')?.[1];
  if (mount === undefined) return null;
  try {
    const folder = mkdtempSync(path.join(mount, 'slipway-test-'));
    rmdirSync(folder);
    return mount;
  } catch {
    return null;
  }
}

const hierarchy = writableHierarchy();

async function realCgroups(): Promise<AttemptCgroups> {
  const folder = await mkdtemp(path.join(hierarchy ?? '', 'slipway-test-'));
  onTestFinished(() => rmdir(folder).catch(() => undefined)); // its runner may have removed it
  return new AttemptCgroups(folder);
}

test.skipIf(hierarchy === null)(
  'the kernel kills and counts what a group holds, whatever session it is in',
  async () => {
    const group = (await realCgroups()).make('one', limits);
    const child = spawn(
      'sh',
      ['-c', 'read go; (setsid sleep 300 &) ; x=0; while [ $x -lt 200000 ]; do x=$((x + 1)); done; sleep 300'],
      {
        stdio: ['pipe', 'ignore', 'ignore'],
      },
    );
    await once(child, 'spawn');
    group.add(child.pid ?? 0);
    child.stdin.write('go\n');
    const pids = async () =>
      (await readFile(path.join(group.path, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean);
    await waitFor(async () => (await pids()).length === 3, { what: 'both sleepers' });
    const stats = (await pids()).map((pid) => readStat(Number(pid)));
    expect(group.isPopulated).toBe(true);
    expect(group.cpuSeconds).toBeGreaterThan(0.01);
    await group.remove();
    expect(existsSync(group.path)).toBe(false);
    for (const stat of stats) expect(isRunning(stat?.pid ?? 0, stat?.startTime ?? 0)).toBe(false);
  },
);

test.skipIf(hierarchy === null)('attempts run in groups of their own, which are removed after them', async () => {
  const cgroups = await realCgroups();
  const under = await runnerUnderTest('cat /proc/self/cgroup; (setsid sleep 300 &); python3 -c "sum(range(3000000))"', {
    cgroups,
  });
  const { end, usage } = await under.run();
  expect(end).toEqual({ kind: 'done' });
  expect(under.lines).toContainEqual(expect.stringMatching(/^0::.*slipway-test-.*\/[0-9a-f-]{36}\.0$/));
  // Of the kernel, and so also of what nobody waited for, and in microseconds.
  expect(usage.cpuSeconds).toBeGreaterThan(0.02);
  expect(await under.processes()).toEqual([]);
  const left = await readdir(cgroups.folder, { withFileTypes: true });
  expect(left.filter((entry) => entry.isDirectory())).toEqual([]);
});

test.skipIf(hierarchy === null)('groups that an attempt made for itself go with it', async () => {
  const cgroups = await realCgroups();
  const group = cgroups.make('one', limits);
  const inner = new Cgroup(path.join(group.path, 'inner'));
  await mkdir(path.join(inner.path, 'empty'), { recursive: true });
  const child = spawn('sleep', ['300'], { stdio: 'ignore' });
  await once(child, 'spawn');
  inner.add(child.pid ?? 0);
  expect(group.isPopulated).toBe(true);
  await group.remove();
  expect(existsSync(group.path)).toBe(false);
  expect(child.signalCode ?? (await once(child, 'exit'))[1]).toBe('SIGKILL');
});

test.skipIf(hierarchy === null)(
  'folders of supervisors that are gone are removed, those of others that live are kept',
  async () => {
    const base = (await realCgroups()).folder;
    const gone = spawn('true');
    await once(gone, 'exit');
    const folders = [
      `slipway-attempts-${process.pid}`,
      `slipway-attempts-${process.ppid}`,
      `slipway-attempts-${gone.pid}`,
    ];
    for (const folder of folders) {
      await mkdir(path.join(base, folder));
      onTestFinished(() => rmdir(path.join(base, folder)).catch(() => undefined));
    }
    removeEmptyCgroups(new AttemptCgroups(path.join(base, folders[0] ?? '')));
    expect(folders.map((folder) => existsSync(path.join(base, folder)))).toEqual([true, true, false]);
  },
);

test.skipIf(hierarchy === null)(
  'the kernel gives a group a type, by which it is told from the root of the machine',
  async () => {
    expect(await readFile(path.join((await realCgroups()).folder, 'cgroup.type'), 'utf8')).toBe('domain\n');
  },
);

test('the limits are written as the kernel wants them', async () => {
  const folder = await temporaryFolder();
  await writeFile(path.join(folder, 'cgroup.subtree_control'), 'cpu memory\n');
  const group = new AttemptCgroups(folder).make('one', { ...limits, cpu: 0.5, memoryBytes: 1000 });
  const read = async (file: string): Promise<string> => await readFile(path.join(group.path, file), 'utf8');
  expect([await read('memory.max'), await read('memory.oom.group'), await read('cpu.max')]).toEqual([
    '1000',
    '1',
    '50000 100000',
  ]);
  expect(group.limitsMemory).toBe(true);
});

test("a group's files are read as the kernel writes them", async () => {
  const folder = await temporaryFolder();
  const group = new Cgroup(folder);
  expect([group.oomKills, group.peakBytes, group.cpuSeconds, group.isPopulated]).toEqual([0, null, null, false]);
  await writeFile(path.join(folder, 'memory.events'), 'low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n');
  await writeFile(path.join(folder, 'memory.peak'), '4096\n');
  await writeFile(path.join(folder, 'cpu.stat'), 'usage_usec 1500000\nuser_usec 1\n');
  await writeFile(path.join(folder, 'cgroup.events'), 'populated 1\nfrozen 0\n');
  expect([group.oomKills, group.peakBytes, group.cpuSeconds, group.isPopulated]).toEqual([3, 4096, 1.5, true]);
  const killed = {
    exitCode: null,
    signal: 'SIGKILL',
    stopped: null,
    oomKills: 3,
    peakBytes: 4096,
    lastLines: [],
  } as const;
  expect(endOfCommand(killed, limits, 60)).toMatchObject({ kind: 'oom', proof: 'cgroup' });
  // Chosen by the OOM killer of a machine that was full, below its own limit.
  await writeFile(path.join(folder, 'memory.events'), 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 1\n');
  expect(group.oomKills).toBe(0);
});

test('a group is prepared for attempts when it is ours: processes moved aside, controllers handed down', async () => {
  const base = await temporaryFolder();
  await writeFile(path.join(base, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
  await writeFile(path.join(base, 'cgroup.procs'), `${process.pid}\n`);
  await writeFile(path.join(base, 'cgroup.type'), 'domain\n');
  const cgroups = prepareCgroups(base, false);
  expect(cgroups?.folder).toBe(path.join(base, `slipway-attempts-${process.pid}`));
  expect(await readFile(path.join(base, 'slipway-supervisor', 'cgroup.procs'), 'utf8')).toBe(`${process.pid}`);
  expect(await readFile(path.join(base, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu');
  expect(await readFile(path.join(cgroups?.folder ?? '', 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu');
});

test('at the root of the machine nobody is moved: it may hold processes, and not only ours', async () => {
  const base = await temporaryFolder();
  await writeFile(path.join(base, 'cgroup.controllers'), 'cpu memory\n');
  await writeFile(path.join(base, 'cgroup.procs'), `1\n2\n${process.pid}\n`);
  const cgroups = prepareCgroups(base, true);
  expect(existsSync(path.join(base, 'slipway-supervisor'))).toBe(false);
  expect(await readFile(path.join(base, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu');
  expect(existsSync(cgroups?.folder ?? '')).toBe(true);
});

test('a group with processes of others, or without the controllers, is let be', async () => {
  const base = await temporaryFolder();
  await writeFile(path.join(base, 'cgroup.controllers'), 'cpu memory\n');
  await writeFile(path.join(base, 'cgroup.procs'), `${process.pid}\n1\n`);
  expect(prepareCgroups(base, false)).toBeNull();
  await mkdir(path.join(base, 'bare'));
  await writeFile(path.join(base, 'bare', 'cgroup.controllers'), 'pids\n');
  await writeFile(path.join(base, 'bare', 'cgroup.procs'), '');
  expect(prepareCgroups(path.join(base, 'bare'), true)).toBeNull();
  expect((await readdir(base)).sort()).toEqual(['bare', 'cgroup.controllers', 'cgroup.procs']);
});
