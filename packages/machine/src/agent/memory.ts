import { residentBytes, treeOf } from './procfs.ts';

/** Milliseconds between two looks, far from and near the limit. */
const calm = 1000;
const close = 200;
/** Share of its limit above which a process tree is looked at often, and as a whole. */
const near = 0.7;
/** Looks after which the members of a calm tree are listed anew. */
const relistEvery = 15;

interface Watched {
  leader: number;
  limit: number;
  exceeded: (bytes: number) => void;
  members: number[];
  age: number;
}

/**
 * Ends process trees that use more memory than they may. The kernel's own limits need a cgroup that was delegated to the agent, which a
 * plain machine does not give; so the resident memory of each tree is summed up from /proc, every second, and five times a second
 * near the limit. Listing all processes is the costly part: far from the limit the list of members is kept for a while.
 */
export class MemoryWatch {
  readonly #trees = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** `exceeded` is called once, with the bytes in use. */
  watch(id: string, leader: number, limit: number, exceeded: (bytes: number) => void): void {
    this.#trees.set(id, { leader, limit, exceeded, members: [leader], age: 0 });
    this.#timer ??= setTimeout(() => this.#look(), close);
  }

  forget(id: string): void {
    this.#trees.delete(id);
    if (this.#trees.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  stop(): void {
    this.#trees.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    let next = calm;
    for (const [id, tree] of this.#trees) {
      let used = sum(tree.members);
      if (used > tree.limit * near || tree.age % relistEvery === 0) {
        tree.members = treeOf(tree.leader);
        used = sum(tree.members);
      }
      // A young tree grows; it is looked at often until it has settled.
      tree.age += 1;
      if (used > tree.limit * near || tree.age < 5) next = close;
      if (used <= tree.limit) continue;
      this.#trees.delete(id);
      tree.exceeded(used);
    }
    if (this.#trees.size > 0) this.#timer ??= setTimeout(() => this.#look(), next);
  }
}

function sum(pids: readonly number[]): number {
  return pids.reduce((total, pid) => total + residentBytes(pid), 0);
}
