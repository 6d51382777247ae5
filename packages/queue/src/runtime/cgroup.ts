import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readStat } from '../processes/index.ts';
import type { Limits } from './limits.ts';

/** Microseconds; the kernel's own default period for `cpu.max`. */
const period = 100_000;
/** Milliseconds that the kernel may take to let go of what was killed. */
const emptiedWithin = 2000;

/**
 * Control groups of version 2 for attempts, one below the other's folder (Linux: Documentation/admin-guide/cgroup-v2.rst). The kernel keeps
 * limits to the byte, knows every descendant whatever it does, and kills all of them in one step.
 */
export class AttemptCgroups {
  readonly folder: string;

  /** `folder`: a writable cgroup without processes of its own. The limits kept are those whose controllers it has. */
  constructor(folder: string) {
    this.folder = folder;
  }

  /** A group for one tree, with its limits set and no process in it yet. */
  make(name: string, limits: Limits): Cgroup {
    const group = new Cgroup(join(this.folder, name));
    mkdirSync(group.path);
    const has = new Set(words(join(this.folder, 'cgroup.subtree_control')));
    if (has.has('memory')) {
      group.write('memory.max', `${limits.memoryBytes}`);
      // What is over the limit must not go to a swap disk instead, which slows everybody down. The file is missing where there is no swap.
      group.tryWrite('memory.swap.max', '0');
      // All or nothing: an attempt that lost one of its processes is not an attempt any more.
      group.write('memory.oom.group', '1');
    }
    if (has.has('cpu')) group.write('cpu.max', `${Math.max(1000, Math.round(limits.cpu * period))} ${period}`);
    return group;
  }

  remove(): void {
    try {
      rmdirSync(this.folder);
    } catch {
      // Something of it is still ending; the guardian or the next start of the service removes it.
    }
  }
}

export class Cgroup {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Whether the kernel keeps its memory limit. */
  get limitsMemory(): boolean {
    return existsSync(join(this.path, 'memory.max'));
  }

  /** Moves a process in; its later children are born in it. */
  add(pid: number): void {
    this.write('cgroup.procs', `${pid}`);
  }

  /** SIGKILL for everything in it, also for what is being forked at the moment. */
  kill(): void {
    this.tryWrite('cgroup.kill', '1');
  }

  /**
   * Processes that the kernel killed because the group was over its memory limit. `oom_kill` alone counts any kind of OOM killer, also that of a
   * machine or a container that is full, which says nothing about what the attempt needs; `oom` counts the group's own limit.
   */
  get oomKills(): number {
    const reached = this.#field('memory.events', 'oom') ?? 0;
    return reached === 0 ? 0 : (this.#field('memory.events', 'oom_kill') ?? 0);
  }

  /** The most memory in use at once, with cached files; null where the kernel does not say (before 5.19). */
  get peakBytes(): number | null {
    try {
      return Number(readFileSync(join(this.path, 'memory.peak'), 'latin1'));
    } catch {
      return null;
    }
  }

  /** Of everything that ever ran in it. */
  get cpuSeconds(): number | null {
    const microseconds = this.#field('cpu.stat', 'usage_usec');
    return microseconds === null ? null : microseconds / 1e6;
  }

  get isPopulated(): boolean {
    return this.#field('cgroup.events', 'populated') === 1;
  }

  /** Kills what is left in it and removes it, with the groups that it made for itself. */
  async remove(): Promise<void> {
    const deadline = performance.now() + emptiedWithin;
    for (;;) {
      this.kill();
      try {
        return removeGroups(this.path);
      } catch (error) {
        const busy = error instanceof Error && 'code' in error && error.code === 'EBUSY';
        if (!busy || performance.now() > deadline) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  write(file: string, value: string): void {
    writeFileSync(join(this.path, file), value);
  }

  tryWrite(file: string, value: string): void {
    try {
      this.write(file, value);
    } catch {
      // An older kernel, or a controller that isn't there.
    }
  }

  #field(file: string, name: string): number | null {
    try {
      const line = readFileSync(join(this.path, file), 'latin1')
        .split('\n')
        .find((one) => one.startsWith(`${name} `));
      return line === undefined ? null : Number(line.slice(name.length + 1));
    } catch {
      return null;
    }
  }
}

/** A group can only be removed after those in it. */
function removeGroups(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(join(group, entry.name));
  rmdirSync(group);
}

/**
 * The control group to put attempts into, made below this process's own one; null where that isn't ours to change: version 1, no write
 * access, controllers missing, or other people's processes in it (a login session, say).
 *
 * A group that hands controllers down may hold no processes itself, so those of ours move to a group `slipway-supervisor` beside it.
 */
export function findAttemptCgroups(): AttemptCgroups | null {
  try {
    const mount = words('/proc/self/mounts', '\n')
      .map((line) => line.split(' '))
      .find((fields) => fields[2] === 'cgroup2')?.[1];
    const own = words('/proc/self/cgroup', '\n')
      .find((line) => line.startsWith('0::'))
      ?.slice('0::'.length);
    if (mount === undefined || own === undefined) return null;
    return prepareCgroups(join(mount, own), own === '/');
  } catch {
    return null; // not ours to change
  }
}

/** `whole`: the group is the root of what we see, e.g. a container's; everything in it is ours. */
export function prepareCgroups(base: string, whole: boolean): AttemptCgroups | null {
  const offered = words(join(base, 'cgroup.controllers'));
  if (!offered.includes('memory') || !offered.includes('cpu')) return null;
  const members = words(join(base, 'cgroup.procs')).map(Number);
  if (!whole && !members.every(isOfThisProcess)) return null;
  // The root of the machine may hand controllers down and hold processes, among them some that must not be moved: kernel threads, init. Only it has no type.
  const isMachine = !existsSync(join(base, 'cgroup.type'));
  if (members.length > 0 && !isMachine) {
    const home = join(base, 'slipway-supervisor');
    mkdirSync(home, { recursive: true });
    for (const pid of members) writeFileSync(join(home, 'cgroup.procs'), `${pid}`);
  }
  writeFileSync(join(base, 'cgroup.subtree_control'), '+memory +cpu');
  const folder = join(base, `slipway-attempts-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'cgroup.subtree_control'), '+memory +cpu');
  return new AttemptCgroups(folder);
}

function isOfThisProcess(pid: number): boolean {
  for (let at = pid; at > 1; at = readStat(at)?.parent ?? 0) if (at === process.pid) return true;
  return false;
}

function words(file: string, separator: string | RegExp = /\s+/): string[] {
  return readFileSync(file, 'latin1')
    .split(separator)
    .filter((word) => word !== '');
}

/** Folders of supervisors that are gone are left behind empty; a look at them costs nothing, and this removes them. One that lives may have no attempt just now. */
export function removeEmptyCgroups(groups: AttemptCgroups): void {
  const base = join(groups.folder, '..');
  for (const name of readdirSync(base)) {
    const pid = /^slipway-attempts-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && readStat(Number(pid)) === null) new AttemptCgroups(join(base, name)).remove();
  }
}
