import { chmod, mkdtemp, readdir, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { removeFolder } from './folder.ts';
import { sharedPostgres } from './shared-postgres.ts';
import './test-run.ts';

const PREFIX = 'slipway-test-';

/**
 * Makes the folder of this run. PostgreSQL is started by the first test that asks for a database, whichever process that
 * is in, so that a run of pure tests does not pay for it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandonedRuns();
  const folder = await mkdtemp(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
  await chmod(folder, 0o755); // programs under test may run as another user
  project.provide('slipwayTestRun', folder);
  return () => endRun(folder);
}

async function endRun(folder: string): Promise<void> {
  const postgres = sharedPostgres(folder);
  if ((await stat(postgres.folder).catch(() => null)) !== null) {
    await postgres.server.start(); // adopts it
    await postgres.server.stop();
  }
  await removeFolder(folder);
}

/** Runs that were killed leave their PostgreSQL running. */
async function removeAbandonedRuns(): Promise<void> {
  for (const name of await readdir(os.tmpdir())) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || isAlive(Number(owner))) continue;
    await endRun(path.join(os.tmpdir(), name)).catch(() => undefined); // another run cleans it up as well
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
