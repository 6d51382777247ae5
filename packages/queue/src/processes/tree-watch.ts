import { everyProcess, isOfLeader, markOf, readStat, treeAmong, type ProcessStat } from './procfs.ts';

/** How often trees are looked at. All in milliseconds. */
export interface Pace {
  /** Between two looks at a tree that grows or is near its limit. */
  shortest: number;
  /** Between two looks at a tree that neither grows nor is near its limit; reached bit by bit. */
  longest: number;
  /** After which the members of a tree are listed anew, far from its limit and near it. */
  relistAfter: number;
  relistNearAfter: number;
  /** What is due this soon is looked at together with what is due now, so that many calm trees wake the process once. */
  together: number;
}

export interface WatchedTree {
  /** Pid of the session leader. */
  leader: number;
  /** Bytes that all its processes together may use; null: only measured. */
  limit: number | null;
  /** Called once, with the bytes in use. */
  exceeded: (bytes: number) => void;
}

export interface TreeUse {
  /** At the last look. */
  bytes: number;
  /** The most that was seen at a look. */
  peakBytes: number;
  /** Used by the processes that run and by their children that ended; never goes down. */
  cpuSeconds: number;
}

interface Watched extends WatchedTree, TreeUse {
  /** Start time of each member by its pid. Who was one once stays one, whatever session and parent it has later. */
  members: Map<number, number>;
  listedAt: number;
  /** Milliseconds from the last look to the next. */
  pause: number;
  due: number;
}

interface SeenMark {
  startTime: number;
  value: string | null;
}

/** Share of its limit above which a tree is near it. */
const near = 0.7;
/** Share of its limit by which a tree must have grown between two looks to count as growing. */
const growth = 0.02;

/**
 * Measures process trees, and tells when one uses more memory than it may. The kernel's own limits need a cgroup that was delegated, which a
 * plain machine does not give; so the resident memory of each tree is summed up from /proc: often while it grows or is near its limit, else
 * more seldom (see `Pace`). Listing all processes is the costly part: it is done for all trees at once, and between two listings the
 * members stay as they are.
 */
export class TreeWatch {
  readonly #trees = new Map<string, Watched>();
  readonly #pace: Pace;
  readonly #markVariable: string;
  /** Marks of the processes seen at the last listing, by pid: reading one costs more than the look, and it never changes. */
  #marks = new Map<number, SeenMark>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  /** `markVariable`: the variable whose value is a tree's id in everything that belongs to it. */
  constructor(pace: Pace, markVariable: string) {
    this.#pace = pace;
    this.#markVariable = markVariable;
  }

  watch(id: string, tree: WatchedTree): void {
    const due = performance.now() + this.#pace.shortest;
    const unlisted = { members: new Map<number, number>(), listedAt: Number.NEGATIVE_INFINITY };
    const nothing: TreeUse = { bytes: 0, peakBytes: 0, cpuSeconds: 0 };
    const watched = { ...tree, ...unlisted, ...nothing, pause: this.#pace.shortest, due };
    const leader = readStat(tree.leader);
    if (leader !== null) watched.members.set(leader.pid, leader.startTime);
    this.#trees.set(id, watched);
    this.#arm();
  }

  /** Looks at the members known so far and gives what was measured since `watch` or `forgetPeak`; null when the tree is not watched. */
  use(id: string): TreeUse | null {
    const tree = this.#trees.get(id);
    if (tree === undefined) return null;
    measure(tree);
    return { bytes: tree.bytes, peakBytes: tree.peakBytes, cpuSeconds: tree.cpuSeconds };
  }

  /** The peak begins anew from what is in use now. */
  forgetPeak(id: string): void {
    const tree = this.#trees.get(id);
    if (tree === undefined) return;
    tree.peakBytes = 0;
    measure(tree);
  }

  /** Whether anything of it runs now; looks at all processes. */
  async hasMembers(id: string): Promise<boolean> {
    await this.#relist();
    return (this.#trees.get(id)?.members.size ?? 0) > 0;
  }

  forget(id: string): void {
    this.#trees.delete(id);
    if (this.#trees.size === 0) clearTimeout(this.#timer);
  }

  stop(): void {
    this.#trees.clear();
    this.#marks.clear();
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
    const due = [...this.#trees].filter(([, tree]) => tree.due <= now + this.#pace.together);
    if (due.some(([, tree]) => this.#listingIsOld(tree, now))) await this.#relist();
    this.#looking = false;
    for (const [id, tree] of due) {
      if (this.#trees.get(id) !== tree) continue; // forgotten meanwhile
      const before = tree.bytes;
      measure(tree);
      tree.pause = this.#nextPause(tree, before);
      tree.due = now + tree.pause;
      if (tree.limit === null || tree.bytes <= tree.limit) continue;
      // Goes on being measured while it is ended; but it is told once.
      tree.limit = null;
      tree.exceeded(tree.bytes);
    }
    this.#arm();
  }

  async #relist(): Promise<void> {
    const processes = await everyProcess();
    const byId = this.#byMark(processes);
    for (const [id, tree] of this.#trees) {
      const marked = byId.get(id);
      const belongs = (stat: ProcessStat): boolean =>
        isOfLeader(stat, tree.leader) ||
        tree.members.get(stat.pid) === stat.startTime ||
        (marked !== undefined && marked.has(stat.pid));
      tree.members = new Map(treeAmong(processes, belongs).map((stat) => [stat.pid, stat.startTime]));
      tree.listedAt = performance.now();
    }
  }

  #byMark(processes: readonly ProcessStat[]): Map<string, Set<number>> {
    const marks = new Map<number, SeenMark>();
    const byId = new Map<string, Set<number>>();
    for (const { pid, startTime } of processes) {
      const known = this.#marks.get(pid);
      const mark = known?.startTime === startTime ? known : { startTime, value: markOf(pid, this.#markVariable) };
      marks.set(pid, mark);
      if (mark.value !== null) byId.set(mark.value, (byId.get(mark.value) ?? new Set()).add(pid));
    }
    this.#marks = marks;
    return byId;
  }

  #listingIsOld(tree: Watched, now: number): boolean {
    const isNear = tree.limit !== null && tree.bytes > tree.limit * near;
    return now - tree.listedAt >= (isNear ? this.#pace.relistNearAfter : this.#pace.relistAfter);
  }

  #nextPause(tree: Watched, before: number): number {
    const { limit, bytes } = tree;
    const hurry = limit !== null && (bytes > limit * near || bytes - before > limit * growth);
    return hurry ? this.#pace.shortest : Math.min(tree.pause * 1.5, this.#pace.longest);
  }
}

function measure(tree: Watched): void {
  let [bytes, cpuSeconds] = [0, 0];
  for (const [pid, startTime] of tree.members) {
    const stat = readStat(pid);
    if (stat?.startTime !== startTime) continue;
    bytes += stat.residentBytes;
    cpuSeconds += stat.cpuSeconds;
  }
  tree.bytes = bytes;
  tree.peakBytes = Math.max(tree.peakBytes, bytes);
  // Of what ended, its parent keeps the time if it waited for it; if it did not, nothing says any more what it used.
  tree.cpuSeconds = Math.max(tree.cpuSeconds, cpuSeconds);
}
