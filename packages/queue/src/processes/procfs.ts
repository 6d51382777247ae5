import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';

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
  /** Seconds of CPU that it used, with those of its ended children that it waited for; in steps of a clock tick, 10 ms. */
  cpuSeconds: number;
  /** Memory that is really in use, in bytes. */
  residentBytes: number;
}

/** Linux counts in hundredths of a second towards programs, whatever the kernel's own tick is (USER_HZ, see time(7)). */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** @returns null when there is no such process. */
export function readStat(pid: number): ProcessStat | null {
  const text = readStatFile(pid);
  if (text === null) return null;
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    state: fields[0] ?? 'X',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
    // utime, stime, cutime, cstime
    cpuSeconds: (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) / ticksPerSecond,
    residentBytes: Number(fields[21]) * pageBytes,
  };
}

/** More than the longest of these files: 52 numbers and a name of at most 64 bytes. */
const statBuffer = Buffer.alloc(2048);

/** Looks at all processes are many, and this is most of what they cost: one buffer for all, and no question for the size, which is 0 anyway. */
function readStatFile(pid: number): string | null {
  let file: number;
  try {
    file = openSync(`/proc/${pid}/stat`, 'r');
  } catch {
    return null;
  }
  try {
    return statBuffer.toString('latin1', 0, readSync(file, statBuffer, 0, statBuffer.length, 0));
  } catch {
    return null; // ended meanwhile
  } finally {
    closeSync(file);
  }
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

/** Says whose a process is: a variable in its environment, which all its descendants inherit, also those that left its session. */
export interface Mark {
  variable: string;
  value: string;
}

/** Value of the variable in the environment with which the process was started; null when it has none. */
export function markOf(pid: number, variable: string): string | null {
  try {
    const text = `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
    const start = text.indexOf(`\0${variable}=`);
    if (start < 0) return null;
    const from = start + variable.length + 2;
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
 * Every running process that belongs to a mark: its process group and session, its descendants, and whatever left those but still
 * carries the mark. By the time it is known a pid may name another process; its start time tells.
 *
 * @param leader Must have run until a moment ago; null: members are known by their mark alone. Once nothing of a group is left, its number
 *   may be given to another one, also after a boot.
 */
export async function membersOf(mark: Mark, leader: ProcessName | null): Promise<ProcessStat[]> {
  const processes = await everyProcess();
  const group = leader === null || hasBeenReplaced(leader) ? null : leader.pid;
  const members = new Set<number>();
  await inTurns(processes, (stat) => {
    if (isOfLeader(stat, group) || markOf(stat.pid, mark.variable) === mark.value) members.add(stat.pid);
  });
  return withDescendants(members, processes);
}

/** The process group of a leader and its descendants among `processes`, without the costly look for marks. */
export function treeOf(leader: number, processes: readonly ProcessStat[]): number[] {
  return treeAmong(processes, (stat) => isOfLeader(stat, leader)).map((stat) => stat.pid);
}

/** Those of `processes` that `belongs` names, with all their descendants. */
export function treeAmong(
  processes: readonly ProcessStat[],
  belongs: (stat: ProcessStat) => boolean,
): readonly ProcessStat[] {
  return withDescendants(new Set(processes.filter(belongs).map((stat) => stat.pid)), processes);
}

function hasBeenReplaced({ pid, startTime }: ProcessName): boolean {
  const now = pid === null ? null : readStat(pid);
  return now !== null && now.startTime !== startTime;
}

export function isOfLeader(stat: ProcessStat, leader: number | null): boolean {
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
export async function leaderOf(mark: Mark): Promise<ProcessStat | null> {
  const leaders = (await everyProcess()).filter((stat) => stat.session === stat.pid);
  return leaders.find((stat) => markOf(stat.pid, mark.variable) === mark.value) ?? null;
}

/** All running processes that have the variable, by its value: what an earlier supervisor left behind. */
export async function everyMark(variable: string): Promise<Map<string, ProcessStat[]>> {
  const marks = new Map<string, ProcessStat[]>();
  await inTurns(await everyProcess(), (stat) => {
    const value = markOf(stat.pid, variable);
    if (value !== null) marks.set(value, [...(marks.get(value) ?? []), stat]);
  });
  return marks;
}

/** True while a process of the group runs; zombies do not count. */
export async function groupRuns(leader: number): Promise<boolean> {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    if (isGone(error)) return false;
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
    if (!isGone(error)) throw error;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH';
}
