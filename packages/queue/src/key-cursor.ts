import type { KeyLook, KeySeen } from './statements/claim-keys.ts';

/** Keys that a walk looks at beside as many as are wanted: few while they have something, more and more while they have nothing. */
const FEWEST = 8;
const MOST = 512;
/** Beyond so many told keys, all are looked at. */
const MOST_NEWS = 1_000;
/** By then an attempt that was ending when its key was found taken has ended. */
const AGAIN_MS = 1_000;

/**
 * Remembers which keys of one kind and lane may have something to claim, so that no claim looks twice at keys that are known to have
 * nothing: thousands of keys at their limit cost nothing until one of them becomes free. It is a hint, like `LineCursor`.
 *
 * | part | what it covers | ends when |
 * | --- | --- | --- |
 * | walk  | all keys in turn, from the one whose turn was last; begun at the start, by `walkAgain`, and by news of too many keys | it came around and found nothing that is left to claim |
 * | news  | keys that notifications named | a look at them left nothing to claim |
 * | later | keys whose rate lets them through at a time; keys that were told and taken, in case that the statement which freed them could not see the new task yet | the time comes |
 *
 * The walk goes first: otherwise a key that is told of all the time would always be served before those that wait for their turn.
 */
export class KeyCursor {
  #walk: { after: string; start: string; lap: 'first' | 'second' } | 'done' = { after: '', start: '', lap: 'first' };
  #reach = FEWEST;
  #news = new Set<string>();
  readonly #later = new Map<string, { at: number; because: 'early' | 'taken' }>();
  /** News that are no news: second looks at keys that were taken. */
  readonly #second = new Set<string>();

  get state(): 'maybe' | 'nothing' {
    return this.#walk === 'done' && this.#news.size === 0 ? 'nothing' : 'maybe';
  }

  /** Where to look for so many tasks; null: nothing is known to be ready. One look at a time: `looked` ends it. */
  next(limit: number): KeyLook | null {
    const walk = this.#walk;
    if (walk !== 'done') {
      const until = walk.lap === 'second' ? walk.start : null;
      return { what: 'walk', after: walk.after, until, count: limit + this.#reach };
    }
    if (this.#news.size === 0) return null;
    const keys = [...this.#news].slice(0, limit + FEWEST);
    for (const key of keys) this.#news.delete(key); // news from now on count
    return { what: 'keys', keys };
  }

  /**
   * What the look found.
   *
   * @param now Milliseconds.
   * @returns In how many milliseconds `due` has something; null: no sooner than before.
   */
  looked(look: KeyLook, seen: readonly KeySeen[], reached: 'end' | 'limit', now: number): number | null {
    if (look.what === 'walk') this.#walked(seen, reached);
    // Those that were served come after those that were not.
    else for (const { key } of byService(seen)) this.told(key);
    const again = seen.flatMap((one) => this.#again(look, one));
    for (const { key } of seen) this.#second.delete(key);
    for (const { key, inMs, because } of again) this.#later.set(key, { at: now + inMs, because });
    return again.length === 0 ? null : Math.min(...again.map(({ inMs }) => inMs));
  }

  /** The look failed: nothing is known about its keys. */
  failed(look: KeyLook): void {
    if (look.what === 'keys') for (const key of look.keys) this.told(key);
  }

  /** Something with this key became ready, or the key became free; null: with many keys. */
  told(key: string | null): void {
    if (key !== null) {
      this.#news.add(key);
      this.#second.delete(key);
    }
    if (key === null || this.#news.size > MOST_NEWS) this.walkAgain();
  }

  /** A task with this key ended here. @returns whether that is worth a look. */
  freed(key: string): boolean {
    if (this.#later.get(key)?.because !== 'taken') return false;
    this.#later.delete(key);
    this.told(key);
    return true;
  }

  /** Moves what is due now to the news. @returns Milliseconds until the next is; null: nothing is waited for. */
  due(now: number): number | null {
    let next: number | null = null;
    for (const [key, { at, because }] of this.#later) {
      if (at > now) next = Math.min(next ?? Infinity, at - now);
      else {
        this.#later.delete(key);
        const known = this.#news.has(key);
        this.told(key);
        if (because === 'taken' && !known) this.#second.add(key);
      }
    }
    return next;
  }

  /** Begins to look at all keys, also for what no notification told about. */
  walkAgain(): void {
    const after = this.#walk === 'done' ? '' : this.#walk.after;
    this.#walk = { after, start: after, lap: 'first' };
    this.#news.clear();
  }

  #walked(seen: readonly KeySeen[], reached: 'end' | 'limit'): void {
    const walk = this.#walk;
    if (walk === 'done') return;
    const served = seen.findLast(({ claimed }) => claimed > 0)?.key;
    const left = seen.some(({ left }) => left === 'more');
    this.#reach = served === undefined ? Math.min(MOST, this.#reach * 2) : FEWEST;
    const last = seen.at(-1)?.key ?? walk.after;
    if (left) {
      // It comes around once more: from the key whose turn was last.
      const after = served ?? walk.after;
      this.#walk = { after, start: after, lap: 'first' };
    } else if (reached === 'limit') this.#walk = { ...walk, after: last };
    else if (walk.lap === 'first' && walk.start !== '') this.#walk = { ...walk, after: '', lap: 'second' };
    else this.#walk = 'done';
  }

  /** When to look at a key again that nobody will tell about. Once, if it was taken: then whoever frees it tells. */
  #again(look: KeyLook, { key, left, dueInMs }: KeySeen): { key: string; inMs: number; because: 'early' | 'taken' }[] {
    if (left === 'early') return [{ key, inMs: dueInMs, because: 'early' }];
    if (left !== 'taken' || look.what !== 'keys' || this.#second.has(key)) return [];
    return [{ key, inMs: AGAIN_MS, because: 'taken' }];
  }
}

function byService(seen: readonly KeySeen[]): KeySeen[] {
  const left = seen.filter((one) => one.left === 'more');
  return left.toSorted((a, b) => a.claimed - b.claimed);
}
