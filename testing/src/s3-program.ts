import { execFile, spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { isExecutable } from './chromium.ts';

const PROGRAM = 'versitygw';
const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
/** Where `go install` puts programs. */
const BUILT = process.env['GOBIN'] ?? path.join(process.env['GOPATH'] ?? path.join(os.homedir(), 'go'), 'bin');

/** The path of an S3 server's program, built with Go when it is missing; an error that says why there is none. */
export async function s3Program(): Promise<string | Error> {
  return find(PROGRAM, [BUILT]) ?? (await build());
}

function find(name: string, further: string[]): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), ...further].filter(Boolean);
  return folders.map((folder) => path.join(folder, name)).find(isExecutable) ?? null;
}

/** Several processes may do so at once: Go puts the finished program in place in one step. */
async function build(): Promise<string | Error> {
  const go = find('go', ['/usr/local/go/bin', '/usr/lib/go/bin']);
  const advice = `no ${PROGRAM} (an S3 server) was found; install Go 1.25 or newer, or: go install ${MODULE}`;
  if (go === null || spawnSync(go, ['version']).status !== 0) return new Error(advice);
  try {
    await promisify(execFile)(go, ['install', MODULE], {
      env: { ...process.env, GOBIN: BUILT, GOFLAGS: '' },
      timeout: 540_000,
    });
  } catch (error) {
    const reason = String(error instanceof Error && 'stderr' in error ? error.stderr : error)
      .trim()
      .split('\n')
      .at(-1);
    return new Error(`${advice}; building it failed: ${reason}`);
  }
  return path.join(BUILT, PROGRAM);
}

// Continuous integration runs this file, so that building does not slow down the tests.
if (import.meta.main) {
  const program = await s3Program();
  console.error(
    program instanceof Error ? `tests of objects in S3 will not run: ${program.message}` : `S3 server: ${program}`,
  );
}
