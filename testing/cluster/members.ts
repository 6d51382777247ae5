import { readdir, readlink } from 'node:fs/promises';
import { waitFor } from '../src/wait-for.ts';
import { processesIn } from './cgroups.ts';

/** What identifies the processes of a node, also to a later run when this one was killed. */
export interface NodeRecord {
  mountNamespace: string;
  cgroup: string;
}

/** Processes that belong to a node: those in its mount namespace, and its containers, which have their own but are in its control groups. */
export async function membersOf({ mountNamespace, cgroup }: NodeRecord): Promise<number[]> {
  const members = new Set(await processesIn(cgroup));
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    if ((await readlink(`/proc/${pid}/ns/mnt`).catch(() => null)) === mountNamespace) members.add(Number(pid));
  return [...members];
}

/** Kills them by their PIDs, also those that come up meanwhile, and waits until they are gone. */
export async function endMembers(record: NodeRecord, { except }: { except?: number } = {}): Promise<void> {
  await waitFor(
    async () => {
      const left = (await membersOf(record)).filter((pid) => pid !== except);
      for (const pid of left) kill(pid);
      return left.length === 0;
    },
    { what: `the processes of ${record.cgroup} to end`, seconds: 20 },
  );
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
