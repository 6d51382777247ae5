import type { Pool } from 'pg';
import { Claimer, SWEEP_SECONDS } from './claimer.ts';
import { CronClock } from './cron-clock.ts';
import { describeError, isPassing, messageOf } from './connection-errors.ts';
import { DueTimer } from './due-timer.ts';
import type { QueueEvent } from './events.ts';
import { Link } from './link.ts';
import type { Outcome } from './outcome.ts';
import { OwnConnections } from './prepared.ts';
import { ProgressWriter } from './progress-writer.ts';
import type { Settled } from './finisher.ts';
import { restoringName } from './restore-name.ts';
import { Settler } from './settler.ts';
import type { EndedAttempt, Source, SourceListener, Wanted } from './source.ts';
import type { Claimed } from './statements/claimed.ts';
import type { Database, Names } from './statements/names.ts';
import { promoteDue } from './statements/promote.ts';
import type { Rescued } from './statements/rescue.ts';
import type { Lane } from './statements/lane.ts';
import { parseNotification } from './statements/tell.ts';
import { unclaimTasks } from './statements/unclaim.ts';
import { within } from './within.ts';
import { WorkerLease } from './worker-lease.ts';

const BACKSTOP_MS = 30_000; // for a notification that got lost

export interface DatabaseSourceOptions {
  pool: Pool;
  names: Names;
  leaseSeconds: number;
  emit: (event: QueueEvent) => void;
  onRescued: (task: Rescued) => void;
  /** A tick of a schedule added a task. */
  onAdded: (kind: string, lane: Lane) => void;
  /** Runs now and then while started: housekeeping that any process may do. */
  housekeeping: (db: Database) => Promise<void>;
}

/**
 * Tasks straight from PostgreSQL. What wakes the worker: a notification, the time of the next scheduled task, and a sweep
 * every 30 s for what a lost notification hid. Apart from it, idling costs one statement a heartbeat.
 *
 * Two connections of its own: the link listens, beats and claims, so that an idle queue holds one backend and picks a
 * task up without connecting first; ends of attempts are written over another one, while the next claim is under way.
 */
export class DatabaseSource implements Source {
  readonly #options: DatabaseSourceOptions;
  readonly #names: Names;
  readonly #lease: WorkerLease;
  readonly #link: Link;
  readonly #writing: OwnConnections;
  readonly #settler: Settler;
  readonly #claimer: Claimer;
  readonly #progress: ProgressWriter;
  readonly #due = new DueTimer(() => void this.#promote());
  readonly #cron: CronClock;
  readonly #ticks = new DueTimer(() => void this.#tick());
  #listener: SourceListener | null = null;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: DatabaseSourceOptions) {
    const { pool, names, leaseSeconds, emit } = options;
    // Shorter than a lease: no claim is still under way when its worker's row may be deleted.
    const timeoutSeconds = leaseSeconds / 2;
    this.#options = options;
    this.#names = names;
    this.#lease = new WorkerLease({
      names,
      leaseSeconds,
      onLost: () => this.#lost(),
      running: () => this.#listener?.running() ?? [],
      onRescued: options.onRescued,
    });
    this.#writing = new OwnConnections(pool, timeoutSeconds);
    this.#settler = new Settler(this.#writing, names, () => this.#lease.doubt());
    this.#progress = new ProgressWriter(this.#writing, names);
    this.#link = new Link({
      pool,
      channel: names.channel,
      timeoutSeconds,
      onConnect: (db) => this.#connected(db),
      onNotification: (payload) => this.#notified(payload),
      onBroken: (error, retryInMs) => emit({ event: 'disconnected', error: describeError(error), retryInMs }),
    });
    this.#cron = new CronClock({ db: this.#link, names, onAdded: options.onAdded });
    this.#claimer = new Claimer({
      db: this.#link,
      names,
      sweepSeconds: Math.min(SWEEP_SECONDS, timeoutSeconds),
      onLater: () => this.#listener?.onWork(),
    });
  }

  get state(): 'open' | 'closed' {
    return this.#link.state;
  }

  async start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    this.#settler.reopen();
    await this.#link.start();
    this.#timers = [
      setInterval(() => void this.#beat(), (this.#options.leaseSeconds * 1_000) / 3),
      setInterval(() => void this.#sweep(), BACKSTOP_MS),
    ];
  }

  async stop(): Promise<void> {
    this.#listener = null;
    for (const timer of this.#timers) clearInterval(timer);
    this.#due.clear();
    this.#ticks.clear();
    this.#claimer.stop();
    this.#settler.giveUp(); // without PostgreSQL the rest is taken back when our lease has run out
    this.#progress.stop();
    if (this.#link.state === 'open') await within(5, this.#lease.giveBack(this.#link));
    await within(2, Promise.all([this.#link.stop(), this.#writing.end()]));
  }

  async claim(wanted: readonly Wanted[]): Promise<Claimed[]> {
    const claimed = await this.#lease.claim(this.#link, (workerId) => this.#claimer.claim(workerId, wanted));
    const bundled = claimed.filter(({ bundle }) => bundle !== null);
    for (const [id, tasks] of Map.groupBy(bundled, ({ bundle }) => bundle ?? ''))
      this.#settler.opened(id, tasks.length);
    return claimed;
  }

  /** No claim ever waits here: notifications do that. */
  async stopWaiting(): Promise<void> {}

  async unclaim(tasks: readonly Claimed[]): Promise<void> {
    await this.#settler.takeBack(tasks).catch(() => undefined);
    // Also those of bundles: a cancel may have taken some out.
    await restoringName((name) => unclaimTasks(this.#link, this.#names, tasks, name)).catch(() => undefined);
  }

  settle(end: EndedAttempt): void {
    const { task, outcome } = end;
    this.#progress.forget(task.id);
    if (task.bundle !== null && outcome.kind === 'done') this.#settler.finishBundled(task, task.bundle, end);
    else void this.#settle(task, outcome).then((settled) => end.written(settled));
  }

  async #settle(task: Claimed, outcome: Outcome): Promise<Settled> {
    const settled = await this.#settler.settle(task, outcome);
    if ('seconds' in outcome) this.soon(outcome.seconds * 1_000);
    if (task.key !== null) this.#claimer.freed(task.key);
    return settled;
  }

  progress(task: Claimed, value: unknown): void {
    // Rare: the tasks of a bundle are short.
    if (task.bundle === null) this.#progress.tell(task, value);
    else
      void this.#settler.takeOut(task).then(
        () => this.#progress.tell(task, value),
        () => undefined,
      );
  }

  giveUp(): void {
    this.#settler.giveUp();
  }

  /** Something is due in that time. */
  soon(milliseconds: number): void {
    if (this.#listener !== null) this.#due.in(milliseconds);
  }

  /** Something became ready, as a notification would say it. */
  told(payload: string): void {
    if (this.#listener !== null) this.#notified(payload);
  }

  async #connected(db: Database): Promise<void> {
    await this.#lease.take(db);
    this.#options.emit({ event: 'connected' });
    this.#claimer.sweepWhenCheap();
    // The link is open in a moment, with this turn of the event loop's work done.
    setImmediate(() => {
      void this.#beat();
      void this.#promote();
      void this.#tick();
      this.#listener?.onWork();
    });
  }

  #notified(payload: string): void {
    const news = parseNotification(payload);
    if (news === null) return;
    if (news.what === 'scheduled') this.soon(news.inMs);
    if (news.what === 'cron' && this.#listener !== null) this.#ticks.in(news.inMs);
    if (news.what === 'cancel') this.#listener?.onCancelled(news.taskId);
    if ((news.what === 'ready' || news.what === 'keyed') && this.#claimer.told(news)) this.#listener?.onWork();
  }

  async #beat(): Promise<void> {
    await this.#tolerate('the heartbeat', async () => {
      const before = this.#lease.id;
      const cancelled = await this.#lease.renew(this.#link);
      for (const id of cancelled) this.#listener?.onCancelled(id);
      if (this.#lease.id === before) return;
      // Claims under the lost lease got nothing, whatever there was.
      this.#claimer.sweepAgain();
      this.#listener?.onWork();
    });
  }

  #lost(): void {
    this.#claimer.sweepAgain();
    this.#settler.forgetBundles();
    this.#listener?.onLost();
  }

  async #promote(): Promise<void> {
    await this.#tolerate('looking for tasks that are due', async () => {
      const { nextInMs } = await promoteDue(this.#link, this.#names); // its notifications wake us as well
      if (nextInMs !== null) this.soon(nextInMs);
    });
  }

  async #tick(): Promise<void> {
    await this.#tolerate('adding the tasks of schedules', async () => {
      const nextInMs = await this.#cron.tick();
      if (nextInMs !== null && this.#listener !== null) this.#ticks.in(nextInMs);
    });
  }

  async #sweep(): Promise<void> {
    this.#claimer.sweepWhenCheap();
    await this.#promote();
    await this.#tick();
    this.#listener?.onWork();
    await this.#tolerate('housekeeping', () => this.#options.housekeeping(this.#writing));
  }

  /** Background work never rejects: what passes is tried again after the reconnect, the rest is reported. */
  async #tolerate(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#link.state !== 'open') return;
    try {
      await work();
    } catch (error) {
      if (!isPassing(error)) this.#options.emit({ event: 'failed', what, error: messageOf(error) });
    }
  }
}
