import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../src/wait-for.ts';
import type { Releases } from './releases.ts';

interface Hierarchy {
  folder: string;
  version: 1 | 2;
}

/**
 * Makes a folder `name` in every mounted hierarchy, which the kubelet then takes for its root. What is in the hierarchies already
 * stays as it is.
 */
export async function makeCgroups(name: string, releases: Releases): Promise<void> {
  const hierarchies = await mountedHierarchies();
  releases.add(`remove the control groups ${name}`, () => removeCgroups(name));
  const first = hierarchies.filter(({ version }) => version === 1);
  for (const { folder } of first) await makeFirstVersion(folder, name);
  if (first.length === 0) for (const { folder } of hierarchies) await makeSecondVersion(folder, name);
}

async function makeFirstVersion(hierarchy: string, name: string): Promise<void> {
  await mkdir(path.join(hierarchy, name), { recursive: true });
  // A cpuset has no processors and no memory until they are named.
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const value = await readFile(path.join(hierarchy, file), 'utf8').catch(() => null);
    if (value !== null) await writeFile(path.join(hierarchy, name, file), value.trim());
  }
}

async function makeSecondVersion(hierarchy: string, name: string): Promise<void> {
  const folder = path.join(hierarchy, name);
  await mkdir(folder, { recursive: true });
  const controllers = (await readFile(path.join(hierarchy, 'cgroup.controllers'), 'utf8')).trim().split(' ');
  const all = controllers.map((controller) => `+${controller}`).join(' ');
  for (const parent of [hierarchy, folder]) await writeFile(path.join(parent, 'cgroup.subtree_control'), all);
}

/** Fine when there are none. */
export async function removeCgroups(name: string): Promise<void> {
  for (const { folder } of await mountedHierarchies())
    await waitFor(() => removeTree(path.join(folder, name)), {
      what: `the control group ${path.join(folder, name)} to be empty`,
      seconds: 20,
    });
}

/** Processes in them, also deep below. */
export async function processesIn(name: string): Promise<number[]> {
  const found = new Set<number>();
  for (const { folder } of await mountedHierarchies()) {
    const top = path.join(folder, name);
    for (const file of await filesNamed(top, 'cgroup.procs'))
      for (const pid of (await readFile(file, 'utf8').catch(() => '')).split('\n'))
        if (pid !== '') found.add(Number(pid));
  }
  return [...found];
}

export async function mountedHierarchies(): Promise<Hierarchy[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  return mounts.flatMap(([, folder = '', type]): Hierarchy[] => {
    if (type === 'cgroup') return [{ folder, version: 1 }];
    return type === 'cgroup2' ? [{ folder, version: 2 }] : [];
  });
}

async function removeTree(folder: string): Promise<true> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => null);
  if (entries === null) return true;
  for (const entry of entries) if (entry.isDirectory()) await removeTree(path.join(folder, entry.name));
  await rmdir(folder);
  return true;
}

async function filesNamed(folder: string, name: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true, encoding: 'utf8' }).catch(() => []);
  return files.filter((file) => path.basename(file) === name).map((file) => path.join(folder, file));
}
