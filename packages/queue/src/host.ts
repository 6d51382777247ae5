import { readlinkSync } from 'node:fs';
import { bootId, isRunning, readStat } from './processes/index.ts';

/** How other processes on this host can prove that this one is gone; null where there is no /proc. */
export interface HostProof {
  /** One running kernel and one pid namespace: where a process id means one process. */
  host: string;
  pid: number;
  /** Start time of the process in clock ticks after boot: tells it from a later process with the same id. */
  processStart: string;
}

export function proveThisProcess(): HostProof | null {
  const stat = readStat(process.pid);
  const boot = bootId();
  if (stat === null || boot === 'unknown') return null;
  try {
    return {
      host: `${boot} ${readlinkSync('/proc/self/ns/pid')}`,
      pid: process.pid,
      processStart: `${stat.startTime}`,
    };
  } catch {
    return null;
  }
}

/** True only on proof. Call it for processes of this host. */
export function isGone(pid: number, processStart: string): boolean {
  if (readStat(pid) !== null) return !isRunning(pid, Number(processStart));
  // That it can't be read proves nothing: this process may have too many files open.
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}
