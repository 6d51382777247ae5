import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { removeBridgeOf } from './bridge.ts';
import { removeCgroups } from './cgroups.ts';
import { endMembers, membersOf, type NodeRecord } from './members.ts';
import { restoreSysctls } from './sysctls.ts';

export const PREFIX = 'slipway-cluster-';
export const SYSCTLS = 'sysctls.json';
const OWNER = 'owner.json';

interface Owner {
  pid: number;
  /** Processes and namespaces are numbered anew with each boot. */
  boot: string;
  pidNamespace: string;
}

/** Writes down whose cluster this is, so that a later run can remove it when this process is killed. */
export async function markOwner(folder: string): Promise<void> {
  const owner: Owner = { pid: process.pid, ...(await thisBoot()) };
  await writeFile(path.join(folder, OWNER), JSON.stringify(owner));
}

/** Of all clusters of this machine, also those that are starting or stopping. */
export async function clusterFolders(): Promise<string[]> {
  const names = (await readdir(os.tmpdir())).filter((name) => name.startsWith(PREFIX));
  return names.map((name) => path.join(os.tmpdir(), name));
}

/** A run that was killed (SIGKILL) could not stop what it had started. This does. */
export async function removeAbandonedClusters(): Promise<void> {
  for (const folder of await clusterFolders()) {
    const owner = await readJson<Owner>(path.join(folder, OWNER));
    if (owner === null) continue; // another run is at its first steps
    const now = await thisBoot();
    const sameBoot = owner.boot === now.boot && owner.pidNamespace === now.pidNamespace;
    if (sameBoot && isAlive(owner.pid)) continue;
    console.error(`slipway: removing the test cluster of a run that was killed (${folder})`);
    if (sameBoot) await removeRemains(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeRemains(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const record = await readJson<NodeRecord>(path.join(folder, name, 'record.json'));
    if (record === null) continue;
    if ((await membersOf(record)).length > 0) await endMembers(record);
    await removeCgroups(record.cgroup);
  }
  await restoreSysctls(path.join(folder, SYSCTLS)).catch(() => undefined); // killed before it had saved them
  await removeBridgeOf(path.basename(folder));
}

async function thisBoot(): Promise<{ boot: string; pidNamespace: string }> {
  return {
    boot: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    pidNamespace: await readlink('/proc/self/ns/pid'),
  };
}

async function readJson<T>(file: string): Promise<T | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as T);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
