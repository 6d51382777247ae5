import { everyProcess, residentBytes, treeOf } from './procfs.ts';

/** Milliseconds between two looks at a tree: the shortest, and the longest, which a tree that neither grows nor is near its limit reaches. */
const shortest = 200;
const longest = 5000;
/** Share of its limit above which a tree is near it. */
const near = 0.7;
/** Share of its limit by which a tree must have grown between two looks to count as growing. */
const growth = 0.02;
/** Milliseconds after which the members of a tree are listed anew, far from and near its limit. */
const relistAfter = 15_000;
const relistNearAfter = 1000;
/** What is due this soon is looked at together with what is due now, so that many calm trees wake the agent once. */
const together = 500;

interface Watched {
  leader: number;
  limit: number;
  exceeded: (bytes: number) => void;
  members: number[];
  listedAt: number;
  /** Bytes at the last look. */
  used: number;
  /** Milliseconds from the last look to the next. */
  pause: number;
  due: number;
}

/**
 * Ends process trees that use more memory than they may. The kernel's own limits need a cgroup that was delegated to the agent, which a
 * plain machine does not give; so the resident memory of each tree is summed up from /proc: five times a second while it grows or is near its
 * limit, else ever more seldom, down to every 5 s. Listing all processes is the costly part: it is done for all trees at once, and between
 * two listings the members stay as they are.
 */
export class MemoryWatch {
  readonly #trees = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  /** `exceeded` is called once, with the bytes in use. */
  watch(id: string, leader: number, limit: number, exceeded: (bytes: number) => void): void {
    const due = performance.now() + shortest;
    const unlisted = { members: [leader], listedAt: Number.NEGATIVE_INFINITY };
    this.#trees.set(id, { leader, limit, exceeded, ...unlisted, used: 0, pause: shortest, due });
    this.#arm();
  }

  forget(id: string): void {
    this.#trees.delete(id);
    if (this.#trees.size === 0) this.stop();
  }

  stop(): void {
    this.#trees.clear();
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#trees.size === 0 || this.#looking) return;
    let earliest = Number.POSITIVE_INFINITY;
    for (const tree of this.#trees.values()) earliest = Math.min(earliest, tree.due);
    this.#timer = setTimeout(() => void this.#look(), Math.max(1, earliest - performance.now()));
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const now = performance.now();
    const due = [...this.#trees].filter(([, tree]) => tree.due <= now + together);
    if (due.some(([, tree]) => listingIsOld(tree, now))) await this.#relist();
    this.#looking = false;
    for (const [id, tree] of due) {
      if (this.#trees.get(id) !== tree) continue; // forgotten meanwhile
      const used = sum(tree.members);
      tree.pause = nextPause(tree, used);
      tree.due = now + tree.pause;
      tree.used = used;
      if (used <= tree.limit) continue;
      this.#trees.delete(id);
      tree.exceeded(used);
    }
    this.#arm();
  }

  async #relist(): Promise<void> {
    const processes = await everyProcess();
    for (const tree of this.#trees.values()) {
      tree.members = treeOf(tree.leader, processes);
      tree.listedAt = performance.now();
    }
  }
}

function listingIsOld(tree: Watched, now: number): boolean {
  return now - tree.listedAt >= (tree.used > tree.limit * near ? relistNearAfter : relistAfter);
}

function nextPause(tree: Watched, used: number): number {
  const hurry = used > tree.limit * near || used - tree.used > tree.limit * growth;
  return hurry ? shortest : Math.min(tree.pause * 1.5, longest);
}

function sum(pids: readonly number[]): number {
  return pids.reduce((total, pid) => total + residentBytes(pid), 0);
}
