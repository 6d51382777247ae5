import { readdir, readFile } from 'node:fs/promises';
import { waitFor } from '../src/wait-for.ts';
import { processesIn } from './cgroups.ts';

/** What identifies the processes of a node, also to a later run when this one was killed. */
export interface NodeRecord {
  /** Never used twice, unlike the numbers of processes and namespaces. */
  cgroup: string;
}

/** The variable that the programs of a node have, and pass on to what they start, with the name of its control group. */
export const MARK = 'SLIPWAY_TEST_NODE';

/** Processes that belong to a node: those with its mark, and its containers, which have variables of their own but are in its control groups. */
export async function membersOf({ cgroup }: NodeRecord): Promise<number[]> {
  const members = new Set(await processesIn(cgroup));
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const variables = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')));
  const mark = `${MARK}=${cgroup}`;
  for (const [index, pid] of pids.entries())
    if (variables[index]?.split('\0').includes(mark) === true) members.add(Number(pid));
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
