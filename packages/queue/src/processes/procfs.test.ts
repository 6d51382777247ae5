import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { everyMark, groupRuns, killAll, membersOf, readStat, type Mark, type ProcessStat } from './procfs.ts';

const variable = 'SLIPWAY_PROCFS_TEST';

/** A leader with one child in its group and one that left it. The shell waits for its children. */
async function tree(mark: Mark): Promise<{ leader: ProcessStat; pids: number[]; child: ChildProcess }> {
  const script = 'sleep 600 & setsid sleep 601 & echo $$; wait';
  const child = spawn('sh', ['-c', script], {
    detached: true,
    env: { PATH: process.env['PATH'], [mark.variable]: mark.value },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(async () => killAll(await membersOf(mark, null)));
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  await waitFor(async () => (await membersOf(mark, null)).length === 3, { what: 'both children' });
  const leader = readStat(pid);
  if (leader === null) throw new Error('the leader has ended');
  return { leader, pids: (await membersOf(mark, null)).map((stat) => stat.pid), child };
}

test('members are found by group, by descent and by mark', async () => {
  const mark = { variable, value: `${process.pid}.a` };
  const { leader, pids } = await tree(mark);
  expect((await membersOf({ variable, value: 'another' }, leader)).map((stat) => stat.pid)).toEqual(pids);
  expect((await everyMark(variable)).get(mark.value)?.map((stat) => stat.pid)).toEqual(pids);
  // Its number, but not its start time: another process, and so another group.
  expect(await membersOf({ variable, value: 'another' }, { pid: leader.pid, startTime: leader.startTime - 1 })).toEqual(
    [],
  );
});

test('a group runs until its last member has ended, with or without its leader', async () => {
  const { leader, child, pids } = await tree({ variable, value: `${process.pid}.b` });
  const ended = once(child, 'exit');
  process.kill(leader.pid, 'SIGKILL');
  await ended;
  expect(await groupRuns(leader.pid)).toBe(true);
  for (const pid of pids) if (pid !== leader.pid) process.kill(pid, 'SIGKILL');
  await waitFor(async () => !(await groupRuns(leader.pid)), { what: 'the end of the group' });
});

test('found processes are only killed while they are the same', async () => {
  const child = spawn('sleep', ['600']);
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  const stat = readStat(child.pid ?? 0);
  if (stat === null) throw new Error('the process has ended');
  killAll([{ ...stat, startTime: stat.startTime - 1 }]);
  // Had it been killed, this would come too late to be what it ends by.
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
});
