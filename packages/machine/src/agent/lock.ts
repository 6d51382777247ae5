import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app';
import { bootId, isRunning, readStat } from '@slipway/queue/processes';
import { codeOf } from './thrown.ts';

interface Owner {
  pid: number;
  startTime: number;
  boot: string;
}

/**
 * Makes sure that one agent at most keeps a folder. The answer gives the lock back.
 *
 * @throws {SlipwayError} `conflict` with the process that holds it. A lock whose owner has ended is taken over.
 */
export function lockFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'agent.lock');
  const mine = `${path}.${process.pid}`;
  const owner: Owner = { pid: process.pid, startTime: readStat(process.pid)?.startTime ?? 0, boot: bootId() };
  const text = JSON.stringify(owner);
  for (;;) {
    writeFileSync(mine, text, { mode: 0o600 });
    try {
      // A link is made whole or not at all, and never replaces what is there.
      linkSync(mine, path);
      rmSync(mine);
      return () => {
        if (readOwner(path)?.pid === process.pid) rmSync(path, { force: true });
      };
    } catch (error) {
      rmSync(mine, { force: true });
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const holder = readOwner(path);
    if (holder !== null && holder.boot === bootId() && isRunning(holder.pid, holder.startTime)) {
      throw new SlipwayError('conflict', `Another agent (process ${holder.pid}) keeps ${folder} already.`, {
        hint: `Stop it first (kill ${holder.pid}; its apps keep running and are taken over), or choose another folder.`,
      });
    }
    const stale = `${path}.stale.${process.pid}`;
    try {
      renameSync(path, stale);
      rmSync(stale, { force: true });
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error; // somebody else took it over first
    }
  }
}

function readOwner(path: string): Owner | null {
  try {
    const owner: Owner = JSON.parse(readFileSync(path, 'utf8'));
    return owner;
  } catch {
    return null;
  }
}
