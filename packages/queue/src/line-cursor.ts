/** Where to look next in one line: places from `position` on at `priority`, and at every later priority up to `upToPriority`. */
export interface Look {
  priority: number;
  position: number;
  upToPriority: number;
}

export interface Place {
  priority: number;
  position: number;
}

const FIRST = -2_147_483_648; // of PostgreSQL's integer
const LAST = 2_147_483_647;

/** Whether it is the first look of a sweep, which reads everything that was ever there and is still kept. */
export function beginsSweep(look: Look): boolean {
  return look.priority === FIRST && look.position === 0;
}

/**
 * Remembers how far one line of tasks (those of a kind and lane that have no key, by priority and place) has been claimed, so
 * that no claim reads what earlier ones have emptied. It is a hint: whatever it misses is found by the next sweep.
 *
 * | part | what it covers | ends when |
 * | --- | --- | --- |
 * | sweep  | all that is ready, from the most urgent on; begun at the start and by `sweepAgain` | a claim got less than it asked for |
 * | levels | what became ready behind the sweep, told by notifications: from which place on, for each priority | the same |
 */
export class LineCursor {
  #sweep: Place | 'done' = { priority: FIRST, position: 0 };
  /** Where the sweep was before it was begun again, or how far claims have come: from there it goes on when it fails. */
  #reached: Place | null = null;
  /** By priority. `news`: the first place that was told of since the last look. */
  readonly #levels = new Map<number, { from: number; news: number | null }>();

  /** Whether `next` has a place to look at. */
  get state(): 'maybe' | 'nothing' {
    return this.#sweep === 'done' && this.#levels.size === 0 ? 'nothing' : 'maybe';
  }

  /** The most urgent place to look at; null: nothing is known to be ready. One look at a time: `claimed` ends it. */
  next(): Look | null {
    const priority = Math.min(...this.#levels.keys());
    const level = this.#levels.get(priority);
    if (level !== undefined && (this.#sweep === 'done' || priority <= this.#sweep.priority)) {
      level.news = null;
      return { priority, position: level.from, upToPriority: priority };
    }
    return this.#sweep === 'done' ? null : { ...this.#sweep, upToPriority: LAST };
  }

  /**
   * What the claim got that looked there.
   *
   * @param claimed Places, in their order.
   */
  claimed(look: Look, claimed: readonly Place[], asked: number): void {
    const last = claimed.length < asked ? undefined : claimed.at(-1);
    this.#reached = claimed.at(-1) ?? this.#reached;
    if (look.upToPriority === LAST) this.#swept(look, last);
    else this.#lookedAtLevel(look.priority, last);
  }

  /** A task became ready there, and maybe others after it. */
  told({ priority, position }: Place): void {
    const level = this.#levels.get(priority);
    if (level === undefined) this.#levels.set(priority, { from: position, news: position });
    else {
      level.from = Math.min(level.from, position);
      level.news = Math.min(level.news ?? position, position);
    }
  }

  /** Begins to look at everything again, for what no notification told about. */
  sweepAgain(): void {
    this.#sweep = { priority: FIRST, position: 0 };
  }

  /**
   * The look came to no end: there is too much to read that is long gone, because some old transaction might still want to see it. A
   * sweep is given up, and what lies ahead goes on.
   */
  failed(look: Look): void {
    if (!beginsSweep(look)) return;
    this.#sweep = this.#reached === null ? 'done' : { ...this.#reached };
  }

  #swept(look: Look, last: Place | undefined): void {
    const sweep = this.#sweep;
    // Begun again meanwhile?
    if (sweep === 'done' || sweep.priority !== look.priority || sweep.position !== look.position) return;
    this.#sweep = last === undefined ? 'done' : { priority: last.priority, position: last.position + 1 };
  }

  #lookedAtLevel(priority: number, last: Place | undefined): void {
    const level = this.#levels.get(priority);
    if (level === undefined) return;
    // What was told during the look may have been committed too late for it.
    const from = Math.min(last === undefined ? Infinity : last.position + 1, level.news ?? Infinity);
    if (from === Infinity) this.#levels.delete(priority);
    else level.from = from;
  }
}
