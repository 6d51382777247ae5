import path from 'node:path';
import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import type { CommandRunnerOptions } from './command-runner.ts';
import { limits, expectCrashWhenKilled, runnerUnderTest, type RunnerUnderTest } from './runner-under-test.ts';

const child = path.join(import.meta.dirname, 'child.ts');
const mebibyte = 1024 * 1024;

/** A program that does what its payload says. */
const program = `
  import { DiscardTask, serveTasks, TryAgain } from '${child}';
  import { closeSync, writeFileSync, writeSync } from 'node:fs';
const kept = [];
function writeAll(text) {
  while (text !== '') {
    try { text = text.slice(writeSync(4, text)); } catch (error) { if (error.code !== 'EAGAIN') throw error; }
  }
}
await serveTasks(async (payload, task) => {
  switch (payload.do) {
    case 'pid': return { pid: process.pid, lane: task.lane };
    case 'burn': for (const before = process.cpuUsage(); process.cpuUsage(before).user < 300_000; ); return null;
    case 'say': console.log('about an earlier task'); return null;
    case 'fail': throw new Error('no such colour');
    case 'discard': throw new DiscardTask('not a picture');
    case 'again': throw new TryAgain(7, 'the printer is busy');
    case 'progress': task.progress(0.5); return null;
    case 'output': writeFileSync(task.output + '/result.json', '{"pages": 3}'); return undefined;
    case 'hang': writeFileSync(task.output + '/pid', String(process.pid)); return await new Promise(() => setInterval(() => {}, 1000));
    case 'until-stop': console.log('up'); return await new Promise((resolve) => {
      const timer = setInterval(() => {}, 1000);
      task.signal.addEventListener('abort', () => { clearInterval(timer); resolve('hurried'); });
    });
    case 'exit': console.error('going'); process.exit(3);
    case 'keep': kept.push(Buffer.alloc(payload.bytes, 1)); return process.pid;
    case 'hog': for (;;) kept.push(Buffer.alloc(1e6, 1));
    case 'garbage': writeAll(payload.text); return await new Promise(() => setInterval(() => {}, 1000));
    case 'close': closeSync(4); return await new Promise(() => setInterval(() => {}, 1000));
  }
});`;

async function keptUnderTest(options: Partial<CommandRunnerOptions> = {}): Promise<RunnerUnderTest> {
  const command = `exec "$NODE" --input-type=module -e "$PROGRAM"`;
  const env = { PATH: process.env['PATH'] ?? '', NODE: process.execPath, PROGRAM: program };
  return await runnerUnderTest(command, { process: 'kept', env, ...options });
}

test('one program works on task after task and answers for each', async () => {
  const under = await keptUnderTest();
  const first = await under.run({ do: 'pid' });
  expect(first).toMatchObject({ end: { kind: 'done' }, result: { lane: 'normal' } });
  expect((await under.run({ do: 'pid' })).result).toEqual(first.result);
  expect((await under.run({ do: 'output' })).result).toEqual({ pages: 3 });
  const failed = (await under.run({ do: 'fail' })).end;
  expect(failed).toMatchObject({ kind: 'error', exitCode: null });
  expect(failed).toHaveProperty('message', expect.stringContaining('no such colour'));
  expect((await under.run({ do: 'discard' })).end).toMatchObject({ kind: 'discarded' });
  expect((await under.run({ do: 'again' })).end).toMatchObject({ kind: 'again', seconds: 7 });
  const started = await under.begin({ do: 'progress' });
  await started.report;
  expect(started.progress).toEqual([0.5]);
  expect((await under.run({ do: 'pid' })).result).toEqual(first.result);
});

test('usage is counted for each task anew', async () => {
  const under = await keptUnderTest();
  await under.run({ do: 'pid' });
  const burnt = await under.run({ do: 'burn' });
  expect(burnt.usage.cpuSeconds).toBeGreaterThan(0.25);
  expect(burnt.usage.peakBytes).toBeGreaterThan(20 * mebibyte);
  expect((await under.run({ do: 'pid' })).usage.cpuSeconds).toBeLessThan(burnt.usage.cpuSeconds);
});

test('a program that ends or is killed counts for the attempt that it ran only', async () => {
  const under = await keptUnderTest({ slots: { normal: 2, fallback: 0 } });
  const other = await under.begin({ do: 'hang' });
  const victim = await under.begin({ do: 'hang' });
  await expectCrashWhenKilled(victim);
  await under.run({ do: 'say' });
  await waitFor(() => under.lines.includes('about an earlier task'), { what: 'its line' });
  const gone = (await under.run({ do: 'exit' })).end;
  expect(gone).toHaveProperty('message', expect.not.stringContaining('earlier'));
  expect(gone).toMatchObject({ kind: 'crash', signal: null });
  expect(gone).toHaveProperty('message', expect.stringContaining('going'));
  expect((await under.run({ do: 'pid' })).end).toEqual({ kind: 'done' });
  other.abort('lease-lost');
  expect((await other.report).end).toEqual({ kind: 'interrupted', reason: 'lease-lost' });
});

test.for([
  ['no JSON', { do: 'garbage', text: 'hello\n' }, 'no answer: hello'],
  ['another task', { do: 'garbage', text: '{"done":"task-99"}\n' }, 'task task-99'],
  ['a line without an end', { do: 'garbage', text: 'x'.repeat(1_100_000) }, 'more than'],
  ['nothing, and closes the channel', { do: 'close' }, 'closed fd 4'],
] as const)('a program that writes %s to fd 4 is ended, and the next one goes on', async ([, payload, message]) => {
  const under = await keptUnderTest();
  const { end } = await under.run(payload);
  expect(end).toMatchObject({ kind: 'crash', signal: null });
  expect(end).toHaveProperty('message', expect.stringContaining(message));
  expect((await under.run({ do: 'pid' })).end).toEqual({ kind: 'done' });
});

test('too much memory or time ends the program, and is told for its task', async () => {
  const tight = { ...limits, memoryBytes: 200 * mebibyte, timeoutSeconds: 2 };
  const under = await keptUnderTest({ limits: { normal: tight, fallback: tight } });
  expect((await under.run({ do: 'hog' })).end).toMatchObject({ kind: 'oom' });
  expect((await under.run({ do: 'hang' })).end).toMatchObject({ kind: 'timeout' });
  expect((await under.run({ do: 'pid' })).end).toEqual({ kind: 'done' });
});

test('a program is replaced after so many tasks, or when it keeps memory', async () => {
  const under = await keptUnderTest({ recycleAfter: 2, recycleGrowth: 0.3 });
  const pids = [];
  for (let task = 0; task < 3; task++) pids.push((await under.run({ do: 'keep', bytes: 1 })).result);
  expect(pids[1]).toBe(pids[0]);
  expect(pids[2]).not.toBe(pids[0]);
  const growing = await keptUnderTest({ recycleGrowth: 0.3 });
  const before = (await growing.run({ do: 'keep', bytes: 1 })).result;
  expect((await growing.run({ do: 'keep', bytes: 80 * mebibyte })).result).toBe(before);
  expect((await growing.run({ do: 'keep', bytes: 1 })).result).not.toBe(before);
});

test('programs are kept warm, as many as there are slots', async () => {
  const env = { PATH: process.env['PATH'] ?? '', SLIPWAY_RUNNER_TEST: `slots-${process.pid}` };
  const { everyMark } = await import('../processes/index.ts');
  const count = async (): Promise<number> =>
    (await everyMark('SLIPWAY_RUNNER_TEST')).get(`slots-${process.pid}`)?.length ?? 0;
  const under = await runnerUnderTest('exec cat <&3 >/dev/null', {
    process: 'kept',
    env,
    slots: { normal: 3, fallback: 0 },
  });
  await waitFor(async () => (await count()) === 3, { what: 'three programs' });
  under.runner.setSlots({ normal: 1, fallback: 1 });
  await waitFor(async () => (await count()) === 2, { what: 'two programs' });
  await under.runner.stop(0);
  expect(await count()).toBe(0);
});

test('a stop is told to what works on a task, so that it can hurry', async () => {
  const under = await keptUnderTest();
  const started = await under.begin({ do: 'until-stop' });
  await waitFor(() => under.lines.includes('up'), { what: 'it to run' });
  const stopped = under.runner.stop(10);
  expect(await started.report).toMatchObject({ end: { kind: 'done' }, result: 'hurried' });
  await stopped;
});
