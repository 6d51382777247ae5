import { randomInt, randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { Claimer, SWEEP_SECONDS } from '../claimer.ts';
import { sqlState } from '../connection-errors.ts';
import { Link } from '../link.ts';
import { OwnConnections } from '../prepared.ts';
import { ProgressWriter } from '../progress-writer.ts';
import type { Settlement } from '../running-task.ts';
import { Settler } from '../settler.ts';
import type { Wanted } from '../source.ts';
import { beat, forgetWorkers, markGone, registerWorker } from '../statements/beat.ts';
import type { Claimed } from '../statements/claimed.ts';
import type { Held } from '../statements/finish.ts';
import { type Names, UNIQUE_VIOLATION } from '../statements/names.ts';
import {
  holdsPayload,
  isAlive,
  readCancelled,
  readHeld,
  type TaskView,
  viewTask,
  viewTasks,
} from '../statements/scoped.ts';
import { parseNotification } from '../statements/tell.ts';
import { unclaimStrays, unclaimTasks } from '../statements/unclaim.ts';
import { within } from '../within.ts';
import { giveBackSlots, type HeldSlots, readSlots, shareSlots, type LaneSlots } from './lane-slots.ts';
import { type RemoteEnd, RemoteEnds, type RemoteSettled } from './remote-ends.ts';
import { WaitingClaim } from './waiting-claim.ts';

const BACKSTOP_MS = 30_000; // for a notification that got lost

/** What a claim is answered with. */
export interface RemoteClaim {
  tasks: Claimed[];
  /** Those of the running ones that were cancelled. */
  cancelled: string[];
}

export interface ClaimOptions {
  waitSeconds: number;
  /**
   * Ids of all tasks that the worker holds; give them when the answer to an earlier claim got lost: what is leased to it and is not
   * among them goes back first.
   */
  known: readonly string[] | null;
  /** Tasks that the worker runs and wants to know of when one is cancelled; that ends the wait. */
  running: readonly string[];
  /** The number that it knows: with news since then it does not wait. */
  slotNews: number;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** A worker elsewhere, and what it may touch: kinds that begin with `scope`. */
export interface RemoteWorker {
  id: string;
  scope: string;
}

export interface RemoteBeat {
  lease: 'held' | 'lost';
  cancelled: string[];
  slots: LaneSlots[];
  /** All news up to this one are in it. */
  slotNews: number;
}

export interface BrokerOptions {
  pool: Pool;
  names: Names;
  leaseSeconds: number;
  onSettled: (settlement: Settlement) => void;
}

/**
 * Gives tasks to workers that don't reach PostgreSQL, and writes down what they say. Each of them has a row among the workers, like a process
 * with a queue of its own. The broker remembers nothing of them: after its end another one goes on with the same workers.
 *
 * Silent workers are given up, and their tasks taken back, by the heartbeats of the started queue beside it, as are those of any process.
 */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #names: Names;
  readonly #link: Link;
  readonly #writing: OwnConnections;
  readonly #settler: Settler;
  readonly #progress: ProgressWriter;
  readonly #ends: RemoteEnds;
  readonly #claimer: Claimer;
  /** Claims that found nothing and wait, by worker. */
  readonly #waiting = new Map<string, WaitingClaim>();
  /** Unlike that of any other server, so that a worker that comes from one is not thought to have missed something here. */
  readonly #firstNews = randomInt(2 ** 31) * 2 ** 20;
  #slotNews = this.#firstNews;
  /** A claimer does one claim at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #phase: 'idle' | 'started' = 'idle';
  #starting: Promise<void> = Promise.resolve();

  constructor(options: BrokerOptions) {
    const { pool, names, leaseSeconds } = options;
    // Shorter than a lease: no claim is still under way when its worker's row may be deleted.
    const timeoutSeconds = leaseSeconds / 2;
    this.#options = options;
    this.#names = names;
    this.#writing = new OwnConnections(pool, timeoutSeconds);
    this.#settler = new Settler(this.#writing, names);
    this.#progress = new ProgressWriter(this.#writing, names);
    this.#ends = new RemoteEnds({
      db: this.#writing,
      names,
      settle: (task, outcome) => {
        this.#progress.forget(task.id);
        return this.#settler.settle(task, outcome);
      },
      onSettled: options.onSettled,
    });
    this.#link = new Link({
      pool,
      channel: names.channel,
      timeoutSeconds,
      onConnect: async () => this.#connected(),
      onNotification: (payload) => this.#notified(payload),
      onBroken: () => undefined, // the queue beside it tells about the same server
    });
    this.#claimer = new Claimer({
      db: this.#link,
      names,
      sweepSeconds: Math.min(SWEEP_SECONDS, timeoutSeconds),
      onLater: () => this.#wakeAll(),
    });
  }

  /** Another number than before: slots of some lane were decided anew since. */
  get slotNews(): number {
    return this.#slotNews;
  }

  get leaseSeconds(): number {
    return this.#options.leaseSeconds;
  }

  /** @throws when PostgreSQL can't be reached now; later it is waited for. */
  async start(): Promise<void> {
    if (this.#phase === 'idle') {
      this.#phase = 'started';
      this.#starting = this.#startNow();
    }
    await this.#starting;
  }

  async #startNow(): Promise<void> {
    this.#settler.reopen();
    try {
      await this.#link.start();
    } catch (error) {
      this.#phase = 'idle';
      throw error;
    }
    this.#timer = setInterval(() => {
      this.#claimer.sweepWhenCheap();
      this.#wakeAll();
    }, BACKSTOP_MS);
  }

  async stop(): Promise<void> {
    if (this.#phase === 'idle') return;
    this.#phase = 'idle';
    clearInterval(this.#timer);
    for (const waiting of this.#waiting.values()) waiting.end();
    this.#claimer.stop();
    this.#settler.giveUp(); // the workers repeat what they got no answer to
    this.#progress.stop();
    await within(5, this.#last);
    await within(5, this.#link.stop());
    await within(5, this.#writing.end());
  }

  /** Enters a worker. */
  async register(): Promise<{ workerId: string; leaseSeconds: number }> {
    const { leaseSeconds } = this.#options;
    const workerId = randomUUID();
    await registerWorker(this.#writing, this.#names, { id: workerId, leaseSeconds, proof: null });
    return { workerId, leaseSeconds };
  }

  /**
   * Leases tasks: at once when there are any, else as soon as there are, within `waitSeconds`. It is also answered when slots were decided
   * anew, or a task that the worker runs is cancelled. A worker has one claim at a time: a later one ends the wait of an earlier one.
   */
  async claim(worker: RemoteWorker, wanted: readonly Wanted[], options: ClaimOptions): Promise<RemoteClaim> {
    this.#waiting.get(worker.id)?.end();
    const { known, running, signal } = options;
    if (known !== null) await this.#takeBackStrays(worker, known);
    const wants = wanted.some(({ limit }) => limit > 0) ? 'tasks' : 'nothing';
    const wait = new WaitingClaim({ scope: worker.scope, seconds: options.waitSeconds, running, wants, signal });
    this.#waiting.set(worker.id, wait);
    if (options.slotNews >= this.#firstNews && options.slotNews < this.#slotNews) wait.end();
    try {
      for (;;) {
        wait.begin();
        const cancelled = await readCancelled(this.#writing, this.#names, worker, wait.takeCancels());
        if (cancelled.length > 0) return { tasks: [], cancelled };
        const tasks = await this.#claimNow(worker, wanted, signal);
        if (tasks.length > 0 && signal.aborted) await this.unclaim(worker, tasks).catch(() => undefined); // else its next claim tells
        if (tasks.length > 0 || isOver(wait)) return { tasks, cancelled };
        await wait.news;
        if (signal.aborted || (isOver(wait) && !wait.wasWoken)) return { tasks: [], cancelled };
      }
    } finally {
      wait.end();
      if (this.#waiting.get(worker.id) === wait) this.#waiting.delete(worker.id);
    }
  }

  #claimNow(worker: RemoteWorker, wanted: readonly Wanted[], signal: AbortSignal): Promise<Claimed[]> {
    const claim = this.#last.then(async () => {
      if (signal.aborted) return [];
      // One by one, so that each can be looked up by its own lease.
      const singly = wanted.map((one) => ({ ...one, manner: 'singly' as const }));
      const claimed = await this.#claimer.claim(worker.id, singly);
      if (claimed.length > 0 || (await isAlive(this.#link, this.#names, worker.id))) return claimed;
      // It got nothing because it was given up: for the others there may be something.
      this.#lookAgain();
      throw new WorkerGone(worker.id);
    });
    this.#last = claim.catch(() => undefined);
    return claim;
  }

  /**
   * Says that a worker lives.
   *
   * @param lanes Whose numbers it follows, and what it holds of them: it is told its share. Of all others in its scope it is told the whole number.
   */
  async beat(worker: RemoteWorker, running: readonly string[], lanes: readonly HeldSlots[]): Promise<RemoteBeat> {
    const slotNews = this.#slotNews;
    const { lease } = await beat(this.#writing, this.#names, { workerId: worker.id, host: null, running: [] });
    const shares = await shareSlots(this.#writing, this.#names, worker, lanes);
    const others = (await readSlots(this.#writing, this.#names, worker.scope)).filter(
      (one) => !shares.some(({ kind, lane }) => kind === one.kind && lane === one.lane),
    );
    return {
      lease,
      cancelled: await readCancelled(this.#writing, this.#names, worker, running),
      slots: [...shares, ...others],
      slotNews,
    };
  }

  /** Writes what became of tasks. See {@link RemoteEnds}. */
  settle(worker: RemoteWorker, ends: readonly RemoteEnd[]): Promise<RemoteSettled[]> {
    return this.#ends.settle(worker, ends);
  }

  /** Gives back tasks that were claimed and not begun. */
  async unclaim(worker: RemoteWorker, tasks: readonly Held[]): Promise<void> {
    const held = await this.#held(worker, tasks);
    const ours = tasks.filter(({ id, lease }) => held.get(id)?.lease === lease);
    if (ours.length === 0) return;
    const unclaim = (name: 'restore' | 'drop') => unclaimTasks(this.#writing, this.#names, ours, name);
    await unclaim('restore').catch((error: unknown) => {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      return unclaim('drop');
    });
  }

  async progress(worker: RemoteWorker, news: readonly (Held & { value: unknown })[]): Promise<void> {
    const held = await this.#held(worker, news);
    for (const { id, lease, value } of news) {
      const task = held.get(id);
      if (task?.lease === lease) this.#progress.tell(task, value);
    }
  }

  /** The worker is gone; what it still holds counts as lost. */
  async leave(worker: RemoteWorker): Promise<void> {
    this.#waiting.get(worker.id)?.end();
    await markGone(this.#writing, this.#names, [worker.id]);
    await giveBackSlots(this.#writing, this.#names, worker.id);
    await forgetWorkers(this.#writing, this.#names);
  }

  /** What is known of one task of the kinds that begin with `scope`; null: there is none, or it is done and nothing of it is kept. */
  viewTask(scope: string, id: string): Promise<TaskView | null> {
    return viewTask(this.#options.pool, this.#names, scope, id);
  }

  viewTasks(scope: string, filter: Parameters<typeof viewTasks>[3]): Promise<TaskView[]> {
    return viewTasks(this.#options.pool, this.#names, scope, filter);
  }

  /** The task, if this worker runs it now. */
  async heldBy(worker: RemoteWorker, taskId: string): Promise<Claimed | null> {
    return (await readHeld(this.#writing, this.#names, worker, [taskId]))[0] ?? null;
  }

  /** Whether a task that this worker runs has its payload under this key. */
  holdsPayload(worker: RemoteWorker, key: string): Promise<boolean> {
    return holdsPayload(this.#writing, this.#names, worker, key);
  }

  async #held(worker: RemoteWorker, tasks: readonly Held[]): Promise<Map<string, Claimed>> {
    const ids = tasks.map(({ id }) => id);
    const held = await readHeld(this.#writing, this.#names, worker, ids);
    return new Map(held.map((task) => [task.id, task]));
  }

  async #takeBackStrays(worker: RemoteWorker, known: readonly string[]): Promise<void> {
    await unclaimStrays(this.#link, this.#names, { id: worker.id, known }).catch((error: unknown) => {
      // A successor took a unique name that moment; the worker's next claim sees it.
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    });
  }

  #lookAgain(): void {
    this.#claimer.sweepAgain();
    setImmediate(() => this.#wakeAll());
  }

  /** What was told while nobody listened is lost. */
  #connected(): void {
    this.#lookAgain();
    setImmediate(() => this.#cancelled(null));
  }

  #cancelled(taskId: string | null): void {
    for (const waiting of this.#waiting.values()) waiting.cancelled(taskId);
  }

  #notified(payload: string): void {
    const slotsOf = /^slots (\S+) /.exec(payload)?.[1];
    if (slotsOf !== undefined) return this.#slotsChanged(slotsOf);
    const news = parseNotification(payload);
    if (news === null) return;
    if (news.what === 'cancel') this.#cancelled(news.taskId);
    if ((news.what === 'ready' || news.what === 'keyed') && this.#claimer.told(news)) this.#wakeAll();
  }

  /** Who waits for tasks of this kind is answered now, so that it asks how many it may have. */
  #slotsChanged(kind: string): void {
    this.#slotNews += 1;
    for (const waiting of this.#waiting.values()) if (kind.startsWith(waiting.scope)) waiting.end();
  }

  #wakeAll(): void {
    for (const waiting of this.#waiting.values()) waiting.wake();
  }
}

/** The worker was given up, or never entered: it has to register. */
export class WorkerGone extends Error {
  constructor(id: string) {
    super(`There is no worker ${id} any more: it was silent for too long, and others have its tasks.`);
    this.name = 'WorkerGone';
  }
}

/** Asked anew each time: it ends meanwhile. */
function isOver({ state }: WaitingClaim): boolean {
  return state === 'over';
}
