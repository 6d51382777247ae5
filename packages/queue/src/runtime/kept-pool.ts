import { KeptChild } from './kept-child.ts';
import type { Limits } from './limits.ts';
import type { Lane } from '../statements/lane.ts';
import type { CommandSettings } from './once.ts';
import type { Supervision } from './process-tree.ts';

/** Milliseconds after which a program that ended without finishing any task is started again, doubled each time. */
const firstPause = 500;
const longestPause = 30_000;

export interface KeptSettings extends CommandSettings {
  limits: Record<Lane, Limits>;
  /** Tasks after which a program is replaced. */
  recycleAfter: number;
  /** Share of the free memory that it may keep between tasks; beyond, it is replaced. */
  recycleGrowth: number;
}

interface LaneChildren {
  slots: number;
  all: Set<KeptChild>;
  idle: KeptChild[];
  starting: number;
  /** Programs in a row that ended without finishing a task. */
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

const lanes: readonly Lane[] = ['normal', 'fallback'];

/** Keeps one program per slot warm, so that a task finds one that runs already. */
export class KeptPool {
  readonly #settings: KeptSettings;
  readonly #on: Supervision;
  readonly #lanes: Record<Lane, LaneChildren> = { normal: noChildren(), fallback: noChildren() };
  #stopped = false;

  constructor(settings: KeptSettings, on: Supervision) {
    this.#settings = settings;
    this.#on = on;
  }

  setSlots(slots: Record<Lane, number>): void {
    for (const lane of lanes) {
      const children = this.#lanes[lane];
      children.slots = slots[lane];
      while (children.all.size > children.slots) {
        const child = children.idle.pop();
        if (child === undefined) break; // ended when its task is done
        this.#part(child);
      }
      this.#fill(lane);
    }
  }

  /** A program for one task: an idle one, else a new one, also beyond the slots. @throws {Error} when it can't be started. */
  async take(lane: Lane): Promise<KeptChild> {
    const { idle } = this.#lanes[lane];
    for (let child = idle.pop(); child !== undefined; child = idle.pop()) if (child.isUsable) return child;
    return await this.#start(lane);
  }

  /** After the task; the program may have ended. */
  giveBack(child: KeptChild): void {
    const children = this.#lanes[child.lane];
    const { recycleAfter, recycleGrowth } = this.#settings;
    if (child.finished > 0) children.failures = 0;
    const isWorn = child.finished >= recycleAfter || child.grownBy > recycleGrowth;
    if (this.#stopped || isWorn || !child.isUsable || children.all.size > children.slots) this.#part(child);
    else children.idle.push(child);
    this.#fill(child.lane);
  }

  announceStop(graceSeconds: number): void {
    for (const child of this.#children()) child.announceStop(graceSeconds);
  }

  /** Ends all of them. Nobody is to work on a task any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const lane of lanes) clearTimeout(this.#lanes[lane].timer);
    await Promise.all(this.#children().map((child) => child.leave()));
  }

  #children(): KeptChild[] {
    return lanes.flatMap((lane) => [...this.#lanes[lane].all]);
  }

  #fill(lane: Lane): void {
    const children = this.#lanes[lane];
    if (this.#stopped || children.timer !== undefined) return;
    if (children.all.size + children.starting >= children.slots) return;
    const pause = children.failures === 0 ? 0 : Math.min(firstPause * 2 ** (children.failures - 1), longestPause);
    children.timer = setTimeout(() => {
      children.timer = undefined;
      if (this.#stopped || children.all.size + children.starting >= children.slots) return;
      this.#start(lane)
        .then((child) => this.giveBack(child))
        .catch(() => {
          children.failures++;
          this.#fill(lane);
        });
    }, pause);
  }

  async #start(lane: Lane): Promise<KeptChild> {
    const children = this.#lanes[lane];
    children.starting++;
    try {
      const child = await KeptChild.start(lane, this.#settings.limits[lane], this.#settings, this.#on);
      children.all.add(child);
      void child.tree.ended.then(() => {
        if (child.finished === 0) children.failures++;
        this.#forget(child);
        this.#fill(lane);
      });
      return child;
    } finally {
      children.starting--;
    }
  }

  #part(child: KeptChild): void {
    this.#forget(child);
    void child.leave();
  }

  #forget(child: KeptChild): void {
    const children = this.#lanes[child.lane];
    children.all.delete(child);
    children.idle = children.idle.filter((other) => other !== child);
  }
}

function noChildren(): LaneChildren {
  return { slots: 0, all: new Set(), idle: [], starting: 0, failures: 0, timer: undefined };
}
