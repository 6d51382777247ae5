import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { isAlive } from './cluster.ts';
import { errorCode } from './error-code.ts';

/** What PostgreSQL's main process says about itself in `postmaster.pid` (see src/include/utils/pidfile.h). */
export interface Postmaster {
  pid: number;
  port: number;
  socketFolder: string;
  status: 'starting' | 'stopping' | 'ready' | 'unknown';
}

/** The living postmaster of this data folder; null when there is none, whatever an old `postmaster.pid` says. */
export async function findPostmaster(data: string): Promise<Postmaster | null> {
  const text = await readFile(path.join(data, 'postmaster.pid'), 'utf8').catch(() => null);
  if (text === null) return null;
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isInteger(pid) || pid === 0 || !isAlive(pid) || !(await isPostgres(pid, data))) return null;
  const status = lines[7];
  return {
    pid,
    port: Number(lines[3]),
    socketFolder: lines[4] ?? '',
    status: status === 'starting' || status === 'stopping' || status === 'ready' ? status : 'unknown',
  };
}

/**
 * Removes a `postmaster.pid` whose process is gone. PostgreSQL does so itself, except when the number now belongs to
 * another process of the same user: then it would refuse to start.
 */
export async function clearStalePidFile(data: string): Promise<void> {
  if ((await findPostmaster(data)) === null) await rm(path.join(data, 'postmaster.pid'), { force: true });
}

/** Process ids are reused; a postmaster's working folder is its data folder. */
async function isPostgres(pid: number, data: string): Promise<boolean> {
  if (process.platform === 'linux') {
    const folder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
    // Unreadable: not ours, and PostgreSQL itself treats it as stale. A zombie has no folder either.
    return folder !== null && folder.replace(/ \(deleted\)$/, '') === (await realpath(data));
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'comm=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.includes('postgres');
}

/**
 * `answers`: it took a connection with our password (or has no slot left for one). `not-yet`: it is starting or stopping.
 * `unreachable`: nothing listens, or it does not reply in time. `stranger`: it refuses our password.
 */
export type Reply = 'answers' | 'not-yet' | 'unreachable' | 'stranger';

export async function askPostmaster(url: string): Promise<Reply> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000, query_timeout: 2_000 });
  client.on('error', () => undefined); // a cut connection rejects the call below as well
  try {
    await client.connect();
    await client.query('select 1');
    return 'answers';
  } catch (error) {
    switch (errorCode(error)) {
      case '53300': // too_many_connections
        return 'answers';
      case '57P03': // cannot_connect_now
        return 'not-yet';
      case '28P01': // invalid_password
      case '28000': // invalid_authorization_specification
        return 'stranger';
      default:
        return 'unreachable';
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}
