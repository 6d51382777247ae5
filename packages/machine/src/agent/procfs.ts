import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { codeOf } from './thrown.ts';

/**
 * What the kernel says about processes, read from /proc (see proc(5)). A look at one process is synchronous: the files live in memory,
 * and a decision such as "is this still our process" must not have a gap between the look and the act.
 */
export interface ProcessStat {
  pid: number;
  /** One letter; `Z` (zombie) and `X` count as ended. */
  state: string;
  parent: number;
  group: number;
  session: number;
  /** Clock ticks after boot. A pid together with its start time names one process of this boot. */
  startTime: number;
}

/** @returns null when there is no such process. */
export function readStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    state: fields[0] ?? 'X',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
  };
}

/** True when exactly this process runs; a zombie has ended, it only waits to be reaped. */
export function isRunning(pid: number, startTime: number): boolean {
  const stat = readStat(pid);
  return stat !== null && stat.startTime === startTime && !hasEnded(stat);
}

function hasEnded(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

/** Changes with every boot, so that records of an earlier boot are never mistaken for processes of this one. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return 'unknown';
  }
}

/** Milliseconds of looking around after which requests get their turn. */
const turn = 2;

/** A look at all processes of a busy machine takes longer than a request should wait; so it is done in turns. What it finds may have ended meanwhile. */
async function inTurns<T>(items: Iterable<T>, look: (item: T) => void): Promise<void> {
  let began = performance.now();
  for (const item of items) {
    look(item);
    if (performance.now() - began < turn) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}

/** Every process that runs. Costs some 20 µs for each; whoever asks about several trees asks once. */
export async function everyProcess(): Promise<ProcessStat[]> {
  const processes: ProcessStat[] = [];
  await inTurns(readdirSync('/proc'), (name) => {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? readStat(pid) : null;
    if (stat !== null && !hasEnded(stat)) processes.push(stat);
  });
  return processes;
}

/** The variable in the environment of everything the agent starts that says whose it is; inherited by all descendants. */
export const markVariable = 'SLIPWAY_INSTANCE';

function mark(pid: number): string | null {
  try {
    const text = `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
    const start = text.indexOf(`\0${markVariable}=`);
    if (start < 0) return null;
    const from = start + markVariable.length + 2;
    const end = text.indexOf('\0', from);
    return text.slice(from, end < 0 ? undefined : end);
  } catch {
    return null; // ended meanwhile, or another user's
  }
}

/** Names one process of this boot for ever: a pid alone may be another process by now, which must be neither watched nor ended. */
export interface ProcessName {
  pid: number | null;
  startTime: number | null;
}

/**
 * Every running process that belongs to an instance: its process group and session, its descendants, and whatever left those but still
 * carries the mark. By the time it is known a pid may name another process; its start time tells.
 *
 * @param leader Must have run until a moment ago; null: members are known by their mark alone. Once nothing of a group is left, its number
 *   may be given to another one, also after a boot.
 */
export async function membersOf(id: string, leader: ProcessName | null): Promise<ProcessStat[]> {
  const processes = await everyProcess();
  const group = leader === null || hasBeenReplaced(leader) ? null : leader.pid;
  const members = new Set<number>();
  await inTurns(processes, (stat) => {
    if (isOfLeader(stat, group) || mark(stat.pid) === id) members.add(stat.pid);
  });
  return withDescendants(members, processes);
}

/** The process group of a leader and its descendants among `processes`, without the costly look for marks. */
export function treeOf(leader: number, processes: readonly ProcessStat[]): number[] {
  const members = new Set(processes.filter((stat) => isOfLeader(stat, leader)).map((stat) => stat.pid));
  return withDescendants(members, processes).map((stat) => stat.pid);
}

function hasBeenReplaced({ pid, startTime }: ProcessName): boolean {
  const now = pid === null ? null : readStat(pid);
  return now !== null && now.startTime !== startTime;
}

function isOfLeader(stat: ProcessStat, leader: number | null): boolean {
  return leader !== null && (stat.group === leader || stat.session === leader);
}

function withDescendants(members: Set<number>, processes: readonly ProcessStat[]): ProcessStat[] {
  let before: number;
  do {
    before = members.size;
    for (const stat of processes) if (members.has(stat.parent)) members.add(stat.pid);
  } while (members.size !== before);
  return processes.filter((stat) => members.has(stat.pid));
}

/** The running session leader that carries a mark: what was started under it, when nobody came to write its pid down. */
export async function leaderOf(id: string): Promise<ProcessStat | null> {
  const leaders = (await everyProcess()).filter((stat) => stat.session === stat.pid);
  return leaders.find((stat) => mark(stat.pid) === id) ?? null;
}

/** Marks of all running processes: what an earlier agent left behind. */
export async function everyMark(): Promise<Map<string, ProcessStat[]>> {
  const marks = new Map<string, ProcessStat[]>();
  await inTurns(await everyProcess(), (stat) => {
    const id = mark(stat.pid);
    if (id !== null) marks.set(id, [...(marks.get(id) ?? []), stat]);
  });
  return marks;
}

const pageBytes = 4096;

/** Memory that is really in use by a process, in bytes; 0 when it has ended. */
export function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * pageBytes;
  } catch {
    return 0;
  }
}

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

/** True while a process of the group runs; zombies do not count. */
export async function groupRuns(leader: number): Promise<boolean> {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  // Most often the leader itself runs on, and nobody else has to be looked at.
  const stat = readStat(leader);
  if (stat !== null && stat.group === leader && !hasEnded(stat)) return true;
  return (await everyProcess()).some((other) => other.group === leader);
}

/** Kills processes that were found a while ago, unless they have ended. */
export function killAll(found: readonly ProcessStat[]): void {
  for (const { pid, startTime } of found) if (isRunning(pid, startTime)) signal({ pid }, 'SIGKILL');
}

/** Sends a signal to a process group or process; fine when it has ended. */
export function signal(target: { group: number } | { pid: number }, name: NodeJS.Signals): void {
  try {
    process.kill('group' in target ? -target.group : target.pid, name);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
