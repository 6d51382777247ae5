import type { AbortCause } from './attempt.ts';
import { LocalBuffer } from './local-buffer.ts';
import { type AttemptListener, type Registration, RunningTask, type Settlement } from './running-task.ts';
import type { Source, Wanted } from './source.ts';
import type { Claimed } from './statements/claimed.ts';
import { isOnLastChance } from './statements/last-chance.ts';
import type { Lane } from './statements/lane.ts';
import { within } from './within.ts';

const TROUBLE_RETRY_MS = 1_000;
/** So many tasks claimed in advance are worth a bundle. */
const BUNDLE = 64;
/** After so many attempts that never waited for anything the event loop gets a turn: what it has for the rest of the program, and the answers to claims and ends. */
const IN_ONE_TURN = 256;
/** With more ends than that to be written, slots are kept until they are. */
const MOST_UNWRITTEN = 8_000;

export interface WorkerOptions {
  source: Source;
  onSettled: (settlement: Settlement) => void;
  onTrouble: (what: string, error: unknown) => void;
}

/** One handler's slots. */
interface Slots extends Registration {
  running: number;
  /** Claimed and not begun. */
  buffer: LocalBuffer;
}

/**
 * The slots of one process: claims tasks for those that are free, runs them, and reports how they ended. It does not know
 * where tasks are kept; that is its source's business.
 *
 * | phase | meaning | leaves it by |
 * | --- | --- | --- |
 * | idle     | claims nothing | start |
 * | started  | claims whenever a slot is free and the source says that there may be work | stop |
 * | stopping | claims nothing, begins nothing; gives back what has not begun, waits for what runs | the end of stop -> idle |
 */
export class Worker {
  readonly #source: Source;
  readonly #options: WorkerOptions;
  readonly #slots = new Map<string, Slots>();
  readonly #running = new Map<string, RunningTask<Slots>>();
  /** Ids of tasks on their last chance that are leased to this process: one, but for a moment. */
  readonly #lastChances = new Set<string>();
  #phase: 'idle' | 'started' | 'stopping' = 'idle';
  #wanted: 'claim' | 'nothing' = 'nothing';
  #claimer: 'idle' | 'busy' = 'idle';
  #claiming: Promise<void> = Promise.resolve();
  /** Those whose slots are kept until they are written. */
  readonly #kept = new Set<RunningTask<Slots>>();
  readonly #listener: AttemptListener<Slots>;
  #idle: (() => void) | null = null;
  /** Slots that became free since the event loop had a turn. */
  #freed = 0;
  #turn: 'asked' | 'no' = 'no';
  /** Handlers that have ended and whose outcome is not written yet. */
  #unwritten = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#source = options.source;
    // One for all attempts.
    this.#listener = {
      onEnded: (task) => this.#ended(task, task.registration),
      onSettled: (task) => this.#settled(task, task.registration),
    };
  }

  /** Registers a handler. @throws {Error} when its kind and lane have one. */
  register(registration: Registration): void {
    const name = nameOf(registration.kind.name, registration.lane);
    if (this.#slots.has(name)) {
      throw new Error(
        `the kind of task '${registration.kind.name}' has a handler already for the lane ${registration.lane}`,
      );
    }
    this.#slots.set(name, {
      ...registration,
      running: 0,
      buffer: new LocalBuffer(registration.concurrency, bufferFor(registration)),
    });
    this.wake();
  }

  /** Changes how many tasks of a kind and lane run at once; 0: no new ones begin. */
  resize(kind: string, lane: Lane, concurrency: number): void {
    const slots = this.#slots.get(nameOf(kind, lane));
    if (slots === undefined) return;
    slots.concurrency = concurrency;
    slots.buffer.resize(concurrency);
    this.#fill(slots);
    this.wake();
  }

  /** Ids of all tasks that are leased to this process. */
  held(): string[] {
    return [...this.#running.keys(), ...[...this.#slots.values()].flatMap(({ buffer }) => buffer.ids())];
  }

  start(): void {
    this.#phase = 'started';
    this.wake();
  }

  /**
   * Claims nothing more, gives back what has not begun, aborts the signal of every running attempt, waits up to `graceSeconds` until
   * they have ended, and gives the others back at once, without using up a retry.
   */
  async stop(graceSeconds: number): Promise<void> {
    this.#phase = 'stopping';
    await this.#claiming;
    const unbegun = [...this.#slots.values()].flatMap(({ buffer }) => buffer.drain());
    for (const { id } of unbegun) this.#lastChances.delete(id);
    if (unbegun.length > 0) await within(5, this.#source.unclaim(unbegun));
    this.abortAll('stopping');
    await within(graceSeconds, this.#allSettled());
    await within(5, Promise.all([...this.#running.values()].map((task) => task.interrupt())));
    this.#phase = 'idle';
  }

  abort(taskId: string, cause: AbortCause): void {
    this.#running.get(taskId)?.abort(cause);
  }

  /** What has not begun is forgotten when the leases are lost: others have it. */
  abortAll(cause: AbortCause): void {
    if (cause === 'lease-lost') {
      for (const { buffer } of this.#slots.values()) for (const { id } of buffer.drain()) this.#lastChances.delete(id);
    }
    for (const task of this.#running.values()) task.abort(cause);
  }

  /** Claims as much as there are free slots for; asked again meanwhile, once more. */
  wake(): void {
    this.#wanted = 'claim';
    if (this.#claimer === 'idle') this.#claiming = this.#claimAll();
  }

  async #claimAll(): Promise<void> {
    this.#claimer = 'busy';
    while (this.#mayClaim()) {
      this.#wanted = 'nothing';
      const lastChance = this.#lastChances.size === 0 ? 'one' : 'none';
      const wanted = [...this.#slots.values()]
        .map((slots) => wantedBy(slots, lastChance))
        .filter(({ limit }) => limit > 0);
      if (wanted.length > 0) await this.#claim(wanted);
    }
    // Not a moment later than the last look at `#wanted`: a call in between would wake nobody.
    this.#claimer = 'idle';
  }

  #mayClaim(): boolean {
    return this.#wanted === 'claim' && this.#phase === 'started' && this.#source.state === 'open';
  }

  async #claim(wanted: Wanted[]): Promise<void> {
    try {
      const claimed = await this.#source.claim(wanted);
      for (const task of this.#withOneLastChance(claimed)) {
        this.#slots.get(nameOf(task.kind, task.lane))?.buffer.add(task);
      }
      // After a claim that got nothing, only news lead to another one.
      if (claimed.length > 0) this.#wanted = 'claim';
      for (const slots of this.#slots.values()) this.#fill(slots);
    } catch (error) {
      this.#options.onTrouble('claiming tasks', error);
      // With the connection down this does nothing, and its return wakes us.
      setTimeout(() => this.wake(), TROUBLE_RETRY_MS).unref();
    }
  }

  /** A claim looks at several lines, and each may have given one on its last chance: all but one go back, as they were. */
  #withOneLastChance(claimed: Claimed[]): Claimed[] {
    const more: Claimed[] = [];
    for (const task of claimed.filter(isOnLastChance)) {
      if (this.#lastChances.size === 0) this.#lastChances.add(task.id);
      else more.push(task);
    }
    if (more.length === 0) return claimed;
    void this.#source.unclaim(more);
    return claimed.filter((task) => !more.includes(task));
  }

  #fill(slots: Slots): void {
    while (this.#phase === 'started' && slots.running < slots.concurrency) {
      const task = slots.buffer.take();
      if (task === null) break;
      this.#begin(task, slots);
    }
  }

  #begin(claimed: Claimed, slots: Slots): void {
    slots.running += 1;
    const task = new RunningTask(claimed, slots, this.#source, this.#listener);
    this.#running.set(claimed.id, task);
    void task.run();
  }

  #ended(task: RunningTask<Slots>, slots: Slots): void {
    slots.buffer.learned(task.busySeconds);
    this.#unwritten += 1;
    // The next one begins while the end of this one is being written: many are written at once.
    if (this.#unwritten > MOST_UNWRITTEN) this.#kept.add(task);
    else this.#free(slots);
  }

  #settled(task: RunningTask<Slots>, slots: Slots): void {
    this.#unwritten -= 1;
    if (this.#running.get(task.task.id) === task) {
      this.#running.delete(task.task.id);
      if (this.#lastChances.delete(task.task.id)) this.wake();
    }
    this.#options.onSettled(task);
    if (this.#kept.delete(task)) this.#free(slots);
    if (this.#running.size === 0) this.#idle?.();
  }

  #free(slots: Slots): void {
    slots.running -= 1;
    this.#freed += 1;
    if (this.#turn === 'no') setImmediate(() => this.#hadTurn());
    this.#turn = 'asked';
    if (this.#freed < IN_ONE_TURN) this.#refill(slots);
  }

  /** The event loop had its turn. */
  #hadTurn(): void {
    this.#turn = 'no';
    const waiting = this.#freed >= IN_ONE_TURN;
    this.#freed = 0;
    if (waiting) for (const slots of this.#slots.values()) this.#refill(slots);
  }

  #refill(slots: Slots): void {
    this.#fill(slots);
    if (limitOf(slots) > 0) this.wake();
  }

  /** Resolves when no attempt is left. */
  #allSettled(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#idle = resolve));
  }
}

/** What is limited by rate must not be claimed long before it starts. */
function bufferFor({ kind }: Registration): 'learned' | 'none' {
  return kind.rate === null && kind.keyRate === null ? 'learned' : 'none';
}

function nameOf(kind: string, lane: string): string {
  return `${kind} ${lane}`;
}

/** So many more could begin at once. */
function freeNow({ concurrency, running, buffer }: Slots): number {
  return Math.max(0, concurrency - running - buffer.size);
}

function limitOf(slots: Slots): number {
  return freeNow(slots) + slots.buffer.wants();
}

function wantedBy(slots: Slots, lastChance: 'one' | 'none'): Wanted {
  const { kind, lane, buffer } = slots;
  const ahead = buffer.wants();
  const now = freeNow(slots);
  return {
    kind: kind.name,
    lane,
    limit: now + ahead,
    now,
    manner: ahead >= BUNDLE ? 'bundle' : 'singly',
    lastChance,
    keyConcurrency: kind.keyConcurrency,
    rate: kind.rate,
    keyRate: kind.keyRate,
  };
}
