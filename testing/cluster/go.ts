import { existsSync } from 'node:fs';
import { chmod, readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isExecutable } from '../src/chromium.ts';
import { CannotRun } from './cannot-run.ts';
import { command } from './command.ts';
import { installGo } from './packages.ts';

/** What Kubernetes' go.mod asks for. */
const NEEDED = [1, 26] as const;
/** Fetched when what is installed is older. */
const TOOLCHAIN = 'go1.26.8';
/** From here on Go fetches the toolchain that a module asks for by itself. */
const FETCHES_BY_ITSELF = [1, 21] as const;

/**
 * A Go that builds Kubernetes: an installed one, or one that an older Go fetches through the module proxy (a toolchain is a module).
 *
 * @throws {CannotRun} when there is none.
 */
export async function findGo(): Promise<string> {
  const installed = installedGo() ?? ((await installGo()) ? installedGo() : undefined);
  const advice = `Go ${NEEDED.join('.')} or newer (any Go, when it can reach a module proxy) builds Kubernetes. Install it, or: apt-get install golang-go`;
  if (installed === undefined) throw new CannotRun(`no Go was found. ${advice}`);
  const version = await versionOf(installed);
  if (isAtLeast(version, NEEDED)) return installed;
  try {
    return await fetchToolchain(installed);
  } catch (error) {
    throw new CannotRun(
      `${installed} is ${version}, and ${TOOLCHAIN} could not be fetched (${String(error)}). ${advice}`,
    );
  }
}

function installedGo(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/local/go/bin', '/usr/lib/go/bin'];
  return folders.map((folder) => path.join(folder, 'go')).find(isExecutable);
}

async function versionOf(go: string): Promise<string> {
  const environment = { GOTOOLCHAIN: 'local' };
  const output = await command(go, ['version'], { cwd: os.tmpdir(), env: environment }).catch((error: unknown) => {
    throw new CannotRun(`${go} does not run: ${String(error)}`);
  });
  return /go(\d+\.\d+)/.exec(output)?.[1] ?? output.trim();
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [is = 0, minorIs = 0] = version.split('.').map(Number);
  return is > major || (is === major && minorIs >= minor);
}

async function fetchToolchain(old: string): Promise<string> {
  const environment = { GOFLAGS: '-mod=mod', GO111MODULE: 'on' };
  const options = { cwd: os.tmpdir(), env: environment, seconds: 600 };
  if (isAtLeast(await versionOf(old), FETCHES_BY_ITSELF)) {
    const env = { ...environment, GOTOOLCHAIN: TOOLCHAIN };
    return path.join((await command(old, ['env', 'GOROOT'], { ...options, env })).trim(), 'bin', 'go');
  }
  const platform = `${os.platform()}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN}.${platform}`;
  const { Dir: folder } = JSON.parse(await command(old, ['mod', 'download', '-json', module], options)) as {
    Dir: string;
  };
  // A module has no executable files; Go itself knows which these are, from 1.21 on.
  for (const place of ['bin', `pkg/tool/${platform.replace('-', '_')}`]) await makeExecutable(path.join(folder, place));
  return path.join(folder, 'bin', 'go');
}

async function makeExecutable(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  await chmod(folder, 0o755);
  for (const name of await readdir(folder)) await chmod(path.join(folder, name), 0o755);
}
