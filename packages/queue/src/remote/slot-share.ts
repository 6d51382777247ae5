import type { Lane } from '../statements/lane.ts';
import type { LaneSlots } from './lane-slots.ts';

interface OwnLane {
  kind: string;
  lane: Lane;
  /** What it was told last; before, what it began with. */
  slots: number;
  /** Whether somebody decides how many the lane has. */
  decided: 'yes' | 'no';
  /** Attempts that have begun and not ended. */
  busy: number;
}

/**
 * The slots of a worker that follows the number of its lanes: it may have one part of them, and others the rest. A heartbeat says
 * how many it holds of each; the answer, how many it may have.
 */
export class SlotShare {
  readonly #onSlots: ((slots: LaneSlots[]) => void) | null;
  readonly #lanes = new Map<string, OwnLane>();

  /** @param onSlots Null: it has its own number, and no part in those of the lanes. */
  constructor(onSlots: ((slots: LaneSlots[]) => void) | null) {
    this.#onSlots = onSlots;
  }

  serve(kind: string, lane: Lane, slots: number): void {
    this.#lanes.set(`${kind} ${lane}`, { kind, lane, slots, decided: 'no', busy: 0 });
  }

  begun(kind: string, lane: Lane): void {
    const own = this.#lanes.get(`${kind} ${lane}`);
    if (own !== undefined) own.busy += 1;
  }

  /** @returns `fewer`: it held more than it was told. */
  ended(kind: string, lane: Lane): 'fewer' | 'enough' {
    const own = this.#lanes.get(`${kind} ${lane}`);
    if (own === undefined) return 'enough';
    own.busy -= 1;
    return this.#onSlots !== null && own.busy >= own.slots ? 'fewer' : 'enough';
  }

  /** For a heartbeat. */
  held(): { kind: string; lane: Lane; holds: number }[] {
    if (this.#onSlots === null) return [];
    return [...this.#lanes.values()].map(({ kind, lane, slots, busy }) => ({
      kind,
      lane,
      holds: Math.max(slots, busy),
    }));
  }

  /** @returns `fewer`: others wait to hear, by a heartbeat, that they may have them. */
  told(all: LaneSlots[]): 'fewer' | 'enough' {
    let change: 'fewer' | 'enough' = 'enough';
    for (const { kind, lane, slots } of all) {
      const own = this.#lanes.get(`${kind} ${lane}`);
      if (own === undefined) continue;
      if (slots < own.slots) change = 'fewer';
      own.slots = slots;
      own.decided = 'yes';
    }
    this.#onSlots?.(all);
    return this.#onSlots === null ? 'enough' : change;
  }

  /** Nobody holds anything for it any more: it begins nothing before it is told how many. */
  lost(): void {
    if (this.#onSlots === null) return;
    const told = [...this.#lanes.values()].filter(({ slots, decided }) => slots > 0 && decided === 'yes');
    if (told.length > 0) this.told(told.map(({ kind, lane }) => ({ kind, lane, slots: 0 })));
  }
}
