import { readFileSync, readlinkSync } from 'node:fs';

/** How other processes on this host can prove that this one is gone; null where there is no /proc. */
export interface HostProof {
  /** One running kernel and one pid namespace: where a process id means one process. */
  host: string;
  pid: number;
  /** Start time of the process in clock ticks after boot: tells it from a later process with the same id. */
  processStart: string;
}

export function proveThisProcess(): HostProof | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const processStart = startOf(process.pid);
    if (processStart === null) return null;
    return { host: `${boot} ${readlinkSync('/proc/self/ns/pid')}`, pid: process.pid, processStart };
  } catch {
    return null;
  }
}

/** True only on proof. Call it for processes of this host. */
export function isGone(pid: number, processStart: string): boolean {
  return startOf(pid) !== processStart;
}

/** Field 22 of /proc/PID/stat (see proc_pid_stat(5)); the second field may hold blanks and parentheses. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie (Z) or dead (X) process does nothing any more.
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
