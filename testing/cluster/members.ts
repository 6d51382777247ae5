import { readdir, readFile, readlink } from 'node:fs/promises';
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
  const killed = new Set<number>();
  await waitFor(
    async () => {
      const left = (await membersOf(record)).filter((pid) => pid !== except);
      for (const pid of left) {
        kill(pid);
        killed.add(pid);
      }
      // One that is about to end has left its namespaces before it has ended.
      return left.length === 0 && (await stillRunning([...killed])).length === 0;
    },
    { what: `the processes of ${record.cgroup} to end`, seconds: 20 },
  );
}

/** Those that have not ended. An ended one stays in /proc until its parent, or who has adopted it, asks for its exit code. */
export async function stillRunning(pids: number[]): Promise<number[]> {
  const states = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') X ')));
  return pids.filter((_, index) => !/\) [ZX] /.test(states[index] ?? ''));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
