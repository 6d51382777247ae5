import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * Runs vitest, then says one line for each thing that this machine can't run, then `N passed, N failed, N skipped`.
 *
 * @param args For vitest.
 * @param env For the tests, added to this process's variables.
 * @returns vitest's exit code.
 */
export async function runVitest(args: string[], env: Record<string, string> = {}): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'slipway-test-report-'));
  try {
    const report = path.join(folder, 'report.json');
    const notRun = path.join(folder, 'not-run');
    const code = await spawnVitest(args, { report, env: { ...env, SLIPWAY_NOT_RUN_FILE: notRun } });
    for (const line of readNotRun(notRun)) console.log(`not run: ${line}`);
    console.log(summarize(report));
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function spawnVitest(
  args: string[],
  { report, env }: { report: string; env: Record<string, string> },
): Promise<number> {
  const root = path.join(import.meta.dirname, '..', '..');
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const child = spawn(process.execPath, [vitest, 'run', ...reporters, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  // Ctrl-C reaches vitest as well; this process stays for the summary.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void child.kill(signal));
  await once(child, 'exit');
  return child.exitCode ?? 1;
}

function readNotRun(file: string): string[] {
  if (!existsSync(file)) return [];
  return [...new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean))];
}

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

function summarize(file: string): string {
  if (!existsSync(file)) return '0 passed, 1 failed, 0 skipped';
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- vitest wrote it
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  // A file that can't even be loaded has no failed test, but it failed.
  const broken = report.testResults.filter(
    (result) => result.status === 'failed' && !result.assertionResults.some((test) => test.status === 'failed'),
  );
  const failed = report.numFailedTests + broken.length;
  return `${report.numPassedTests} passed, ${failed} failed, ${report.numPendingTests + report.numTodoTests} skipped`;
}
