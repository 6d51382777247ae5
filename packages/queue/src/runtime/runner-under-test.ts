import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder, waitFor } from '@slipway/testing';
import { expect, onTestFinished } from 'vitest';
import { everyMark, type ProcessStat, signal } from '../processes/index.ts';
import { CommandRunner, type AttemptReport, type CommandRunnerOptions } from './command-runner.ts';
import type { AttemptFolder } from './attempt-folder.ts';
import type { Limits } from './limits.ts';
import type { Lane } from '../statements/lane.ts';
import type { Progress } from './progress-file.ts';

const mebibyte = 1024 * 1024;
export const limits: Limits = { cpu: 1, memoryBytes: 200 * mebibyte, timeoutSeconds: 30 };

/** A variable that everything of one test's runner inherits, to find what is left of it. */
export const testVariable = 'SLIPWAY_RUNNER_TEST';

export interface Started {
  folder: AttemptFolder;
  report: Promise<AttemptReport>;
  abort: (reason: unknown) => void;
  /** In the order of arrival. */
  progress: Progress[];
}

export interface RunnerUnderTest {
  runner: CommandRunner;
  folder: string;
  /** Lines that commands wrote. */
  lines: string[];
  begin: (payload?: unknown, lane?: Lane) => Promise<Started>;
  /** Runs one attempt to its end. */
  run: (payload?: unknown, lane?: Lane) => Promise<AttemptReport & { folder: AttemptFolder }>;
  /** What runs of all its attempts. */
  processes: () => Promise<ProcessStat[]>;
}

let runners = 0;

export async function runnerUnderTest(
  command: string,
  options: Partial<CommandRunnerOptions> = {},
): Promise<RunnerUnderTest> {
  const folder = await temporaryFolder();
  const name = `${process.pid}.${runners++}`;
  const lines: string[] = [];
  const runner = new CommandRunner({
    command,
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', NODE: process.execPath, [testVariable]: name },
    process: 'per-task',
    limits: { normal: limits, fallback: limits },
    slots: { normal: 1, fallback: 0 },
    folder: `${folder}/attempts`,
    onLine: (line) => lines.push(line),
    ...options,
  });
  runner.start();
  onTestFinished(() => runner.stop(0));
  let tasks = 0;
  const begin = async (payload: unknown = null, lane: Lane = 'normal'): Promise<Started> => {
    const attemptFolder = await runner.prepare();
    const abort = new AbortController();
    const progress: Progress[] = [];
    const task = { id: `task-${tasks++}`, attempt: 1, lane, payload, folder: attemptFolder };
    const report = runner.run(task, { signal: abort.signal, onProgress: (value) => progress.push(value) });
    report.catch(() => undefined); // it is for the test to look at
    return { folder: attemptFolder, report, abort: (reason) => abort.abort(reason), progress };
  };
  return {
    runner,
    folder,
    lines,
    begin,
    async run(payload, lane) {
      const started = await begin(payload, lane);
      return { ...(await started.report), folder: started.folder };
    },
    processes: async () => (await everyMark(testVariable)).get(name) ?? [],
  };
}

/** Kills the program of an attempt, which writes its pid into `pid` of its output; that is told as a crash within a second. */
export async function expectCrashWhenKilled({ folder, report }: Started): Promise<void> {
  const pid = await waitFor(async () => Number(await readFile(path.join(folder.output, 'pid'), 'utf8')), {
    what: 'the pid',
  });
  const killedAt = performance.now();
  signal({ pid }, 'SIGKILL');
  expect((await report).end).toMatchObject({ kind: 'crash', signal: 'SIGKILL' });
  expect(performance.now() - killedAt).toBeLessThan(1000);
}
