import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { codeOf } from './thrown.ts';

/**
 * Who listens on a TCP port of this machine.
 *
 * | answer | meaning |
 * | --- | --- |
 * | ours    | one of `pids` holds a listening socket |
 * | foreign | something listens, and it is none of `pids` |
 * | nobody  | nothing listens |
 * | unknown | the kernel does not let us look; trust the port |
 */
export function listenerOf(port: number, pids: readonly number[]): 'ours' | 'foreign' | 'nobody' | 'unknown' {
  let inodes: Set<string>;
  try {
    inodes = new Set(
      listeningSockets()
        .filter((socket) => socket.port === port)
        .map((socket) => socket.inode),
    );
  } catch {
    return 'unknown';
  }
  if (inodes.size === 0) return 'nobody';
  const sockets = pids.map(socketsOf);
  if (sockets.some((own) => own?.some((inode) => inodes.has(inode)))) return 'ours';
  return sockets.length > 0 && sockets.every((own) => own === null) ? 'unknown' : 'foreign';
}

/** Ports that processes listen on, to tell people which port their app opened instead of the wanted one. */
export function portsOf(pids: readonly number[]): number[] {
  try {
    const own = new Set(pids.flatMap((pid) => socketsOf(pid) ?? []));
    return [
      ...new Set(
        listeningSockets()
          .filter((socket) => own.has(socket.inode))
          .map((socket) => socket.port),
      ),
    ];
  } catch {
    return [];
  }
}

function listeningSockets(): { port: number; inode: string }[] {
  const sockets: { port: number; inode: string }[] = [];
  for (const table of ['tcp', 'tcp6']) {
    let text: string;
    try {
      text = readFileSync(`/proc/net/${table}`, 'latin1');
    } catch (error) {
      if (table === 'tcp6') continue; // a kernel without IPv6
      throw error;
    }
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [local, state, inode] = [fields[1], fields[3], fields[9]];
      const listening = '0A';
      if (state !== listening || local === undefined || inode === undefined) continue;
      sockets.push({ port: Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16), inode });
    }
  }
  return sockets;
}

function socketsOf(pid: number): string[] | null {
  try {
    const inodes: string[] = [];
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
        if (target.startsWith('socket:[')) inodes.push(target.slice('socket:['.length, -1));
      } catch {
        // closed between the listing and the look
      }
    }
    return inodes;
  } catch (error) {
    // A process that has ended holds nothing; one that hides its files may hold anything.
    return codeOf(error) === 'EACCES' ? null : [];
  }
}
