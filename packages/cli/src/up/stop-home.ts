import { existsSync, realpathSync, rmSync } from 'node:fs';
import { filesOf } from '../home.ts';
import { lockOwner, releaseLock, takeLock } from './lock.ts';
import { makeParts, recordStrays } from './parts.ts';
import { endProcess, goneWithin, isRunning } from './process-identity.ts';
import { readState } from './state.ts';

const STOP_SECONDS = 60;

/**
 * Stops what runs on a home: through its `up` if there is one; else, when that was killed, part by part.
 *
 * @returns `still-running` when the `up` did not end in time; it goes on stopping.
 */
export async function stopHome(home: string, entry: string): Promise<'stopped' | 'nothing-runs' | 'still-running'> {
  const files = filesOf(home);
  if (!existsSync(home)) return 'nothing-runs';
  const owner = lockOwner(files.lock);
  if (owner !== null) {
    process.kill(owner.pid, 'SIGTERM');
    return (await goneWithin(owner, STOP_SECONDS)) ? 'stopped' : 'still-running';
  }
  if (takeLock(files.lock) !== null) return stopHome(home, entry);
  try {
    if (!existsSync(files.data)) return 'nothing-runs';
    const data = realpathSync(files.data);
    recordStrays({ home, entry, data });
    const state = readState(files.up);
    const left = Object.values(state.parts).filter((record) => isRunning(record));
    if (left.length === 0) return 'nothing-runs';
    const { postgres, agent, server } = makeParts({
      home,
      entry,
      data,
      port: state.port ?? 0,
      routerPort: state.routerPort ?? 0,
      databaseUrl: null,
    });
    for (const part of [server, agent, postgres]) await part?.stop();
    // Whatever is left did not listen.
    for (const record of left) await endProcess(record, 'SIGTERM', 1);
    rmSync(files.server, { force: true });
    return 'stopped';
  } finally {
    releaseLock(files.lock);
  }
}
