import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Bytes that fit into `sockaddr_un`, without the closing zero; see unix(7). */
const longestPath = 107;

/** Where the agent of a folder listens: in the folder, or, when that path is too long for a socket, where the pointer file says. */
export function socketPath(folder: string): string {
  const direct = directPath(folder);
  if (direct !== null) return direct;
  try {
    return readFileSync(pointerPath(folder), 'utf8');
  } catch {
    return join(resolve(folder), 'agent.sock'); // no agent yet; connecting says so
  }
}

/** Removes what an earlier agent left and answers the path to listen on. The folder's lock must be held. */
export function prepareSocket(folder: string): string {
  const direct = directPath(folder);
  if (direct !== null) {
    rmSync(direct, { force: true });
    return direct;
  }
  removeSocket(folder);
  // A fresh private folder: in the shared one for temporary files somebody else could have put a socket at a known name.
  const path = join(mkdtempSync(join(tmpdir(), 'slipway-')), 'agent.sock');
  mkdirSync(resolve(folder), { recursive: true });
  writeFileSync(pointerPath(folder), path, { mode: 0o600 });
  return path;
}

/** Takes away the socket, and the folder that was made for it. */
export function removeSocket(folder: string): void {
  const path = socketPath(folder);
  rmSync(path, { force: true });
  if (directPath(folder) !== null) return;
  const home = dirname(path);
  const own = lstatSync(home, { throwIfNoEntry: false })?.uid === process.getuid?.();
  if (own && dirname(home) === resolve(tmpdir())) rmSync(home, { recursive: true, force: true });
  rmSync(pointerPath(folder), { force: true });
}

/** Only the agent's own user may connect. */
export function protectSocket(path: string): void {
  chmodSync(path, 0o600);
}

function directPath(folder: string): string | null {
  const path = join(resolve(folder), 'agent.sock');
  return Buffer.byteLength(path) <= longestPath ? path : null;
}

function pointerPath(folder: string): string {
  return join(resolve(folder), 'agent.sock.path');
}
