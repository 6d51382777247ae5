import path from 'node:path';
import type { Pool } from 'pg';
import type { Handler } from './attempt.ts';
import { describeError, isPassing, messageOf, sqlState } from './connection-errors.ts';
import { DebouncedNotifier } from './debounced-notifier.ts';
import { DueTimer } from './due-timer.ts';
import { eventOf, type QueueEvent } from './events.ts';
import { Link } from './link.ts';
import { migrate } from './migrate.ts';
import type { EnqueueOptions, QueueOptions } from './queue-options.ts';
import { type Registration, RunningTask } from './running-task.ts';
import { Settler } from './settler.ts';
import { cancelTask } from './statements/cancel.ts';
import { type Claimed, claimTasks } from './statements/claim.ts';
import { countTasks, type KindCounts } from './statements/counts.ts';
import { type DeadTask, listDead, redriveTask } from './statements/dead.ts';
import { insertTask } from './statements/enqueue.ts';
import { type Database, type Names, namesIn, UNIQUE_VIOLATION } from './statements/names.ts';
import { promoteDue } from './statements/promote.ts';
import type { TaskKind } from './task-kind.ts';
import { within } from './within.ts';
import { WorkerLease } from './worker-lease.ts';

const BACKSTOP_MS = 30_000; // for a notification that got lost
const TROUBLE_RETRY_MS = 1_000;

/**
 * Durable tasks on PostgreSQL, at least once.
 *
 * | state of a task | meaning | leaves it by |
 * | --- | --- | --- |
 * | scheduled | its time has not come (`runAt`, back-off, snooze) | promote -> ready; cancel -> gone |
 * | ready     | may be claimed                                    | claim -> running; cancel -> gone |
 * | running   | leased to a worker process                        | finish -> gone; release -> ready or scheduled; bury -> dead; rescue -> ready or dead |
 * | dead      | in the dead letters, with its history             | redrive -> ready |
 *
 * Each arrow is one statement in `statements/`. Every arrow out of `running` names the lease, which grows each time, so that
 * only the worker that holds the task moves it.
 *
 * What wakes a queue: a notification (`enqueue`, a freed key, a task given back), the time of the next scheduled task, a slot
 * that became free, and a look every 30 s for what a lost notification hid. Apart from it, idling costs one statement a heartbeat.
 */
export class Queue {
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #lease: WorkerLease;
  readonly #leaseSeconds: number;
  readonly #emit: (event: QueueEvent) => void;
  readonly #registrations = new Map<string, Registration>();
  readonly #running = new Map<string, RunningTask>();
  readonly #notifier: DebouncedNotifier;
  readonly #settler: Settler;
  readonly #link: Link;
  readonly #due = new DueTimer(() => void this.#promote());
  #phase: 'idle' | 'started' | 'stopping' = 'idle';
  #timers: NodeJS.Timeout[] = [];
  #wanted: 'claim' | 'nothing' = 'nothing';
  #claimer: 'idle' | 'busy' = 'idle';
  #claiming: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;

  constructor(options: QueueOptions) {
    this.#pool = options.pool;
    this.#names = namesIn(options.schema ?? 'slipway_queue');
    this.#leaseSeconds = options.leaseSeconds ?? 15;
    this.#emit = options.onEvent ?? (() => undefined);
    this.#lease = new WorkerLease({
      names: this.#names,
      leaseSeconds: this.#leaseSeconds,
      emit: this.#emit,
      onLost: () => this.#lostLease(),
    });
    this.#notifier = new DebouncedNotifier(this.#pool, this.#names.channel);
    this.#settler = new Settler(this.#pool, this.#names);
    this.#link = new Link({
      pool: this.#pool,
      channel: this.#names.channel,
      timeoutSeconds: Math.max(2, this.#leaseSeconds / 2),
      onConnect: (db) => this.#connected(db),
      onNotification: (payload) => this.#notified(payload),
      onBroken: (error, retryInMs) => this.#emit({ event: 'disconnected', error: describeError(error), retryInMs }),
    });
  }

  /** Makes or updates the tables. See {@link migrate} for its errors. */
  async migrate(): Promise<void> {
    await migrate(this.#pool, {
      schema: this.#names.schema,
      folder: path.join(import.meta.dirname, '..', 'migrations'),
    });
  }

  /** Begins to work on tasks. @throws when PostgreSQL can't be reached now; later it is waited for. */
  async start(): Promise<void> {
    await this.#stopped;
    if (this.#phase !== 'idle') return;
    this.#phase = 'started';
    this.#stopped = null;
    try {
      await this.#link.start();
    } catch (error) {
      this.#phase = 'idle';
      throw error;
    }
    if (!this.#isStarted()) return; // stopped meanwhile
    this.#timers = [
      setInterval(() => void this.#beat(), (this.#leaseSeconds * 1_000) / 3),
      setInterval(() => void this.#promote().then(() => this.#wake()), BACKSTOP_MS),
    ];
    this.#wake();
  }

  /**
   * Stops: claims nothing more, aborts the signal of every running attempt, waits up to `graceSeconds` (default 10) until
   * they have ended, and gives the others back at once, without using up a retry. Safe to call twice, or before `start`.
   */
  async stop(options: { graceSeconds?: number } = {}): Promise<void> {
    if (this.#phase === 'idle') return;
    this.#phase = 'stopping';
    this.#stopped ??= this.#stopNow(options.graceSeconds ?? 10).finally(() => (this.#phase = 'idle'));
    return this.#stopped;
  }

  async #stopNow(graceSeconds: number): Promise<void> {
    await this.#claiming;
    for (const task of this.#running.values()) task.abort('stopping');
    await within(graceSeconds, Promise.all([...this.#running.values()].map(({ settled }) => settled)));
    await within(5, Promise.all([...this.#running.values()].map((task) => task.interrupt())));
    this.#settler.giveUp(); // without PostgreSQL the rest is taken back when our lease has run out
    for (const timer of this.#timers) clearInterval(timer);
    this.#due.clear();
    if (this.#link.state === 'open') await within(5, this.#lease.giveBack(this.#link));
    await within(5, this.#link.stop());
    this.#settler.reopen();
  }

  /**
   * Adds a task and returns its id (or the id of the waiting one with the same `unique`).
   *
   * @throws {ZodError} when the payload does not match the kind.
   */
  async enqueue<P>(kind: TaskKind<P>, payload: P, options: EnqueueOptions = {}): Promise<string> {
    await kind.payload.parseAsync(payload);
    const { client } = options;
    // In the caller's transaction only its commit may tell; and the moment when a task is due is told for each. Of tasks that
    // are ready at once, one notification in a while is enough.
    const ownNotification = client !== undefined || options.runAt !== undefined || options.delaySeconds !== undefined;
    const notify = ownNotification ? 'now' : this.#notifier.take(kind.name);
    const task = await insertTask(client ?? this.#pool, this.#names, {
      kind: kind.name,
      payload,
      runAt: options.runAt ?? null,
      delaySeconds: options.delaySeconds ?? 0,
      priority: options.priority ?? 0,
      key: options.key ?? null,
      unique: options.unique ?? null,
      lossesAllowed: kind.losses,
      notify,
    });
    if (notify === 'later') this.#notifier.owe(kind.name);
    if (client === undefined) {
      if (task.state === 'ready') this.#wake();
      else this.#promoteIn(task.dueInMs);
    }
    return task.id;
  }

  /** Registers the handler of a kind, before or after `start`. @throws {Error} when the kind has one. */
  work<P>(kind: TaskKind<P>, handler: Handler<P>, options: { concurrency?: number } = {}): void {
    if (this.#registrations.has(kind.name)) throw new Error(`the kind of task '${kind.name}' has a handler already`);
    this.#registrations.set(kind.name, {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the payload is checked by this very kind before the handler sees it
      ...({ kind, handler } as unknown as Pick<Registration, 'kind' | 'handler'>),
      concurrency: options.concurrency ?? 4,
      running: 0,
    });
    this.#wake();
  }

  /** Deletes a waiting task; aborts a running one, which is gone when its handler ends. False: there is none with this id. */
  cancel(taskId: string): Promise<boolean> {
    return cancelTask(this.#pool, this.#names, taskId);
  }

  /** Dead tasks, the newest first. */
  dead(filter: { kind?: string; limit: number }): Promise<DeadTask[]> {
    return listDead(this.#pool, this.#names, { kind: filter.kind ?? null, limit: filter.limit });
  }

  /** Makes a dead task ready again with all its retries. False: there is none with this id. */
  redrive(taskId: string): Promise<boolean> {
    return redriveTask(this.#pool, this.#names, taskId);
  }

  /** How many tasks there are, by kind and state. */
  counts(): Promise<Record<string, KindCounts>> {
    return countTasks(this.#pool, this.#names);
  }

  async #connected(db: Database): Promise<void> {
    await this.#lease.take(db);
    this.#emit({ event: 'connected' });
    // The link is open in a moment, with this turn of the event loop's work done.
    setImmediate(() => {
      void this.#beat();
      void this.#promote();
      this.#wake();
    });
  }

  #notified(payload: string): void {
    const [word = '', value = ''] = payload.split(' ');
    if (word === 'ready' && this.#registrations.has(value)) this.#wake();
    if (word === 'scheduled') this.#promoteIn(Number(value));
    if (word === 'cancel') this.#running.get(value)?.abort('cancelled');
  }

  async #beat(): Promise<void> {
    await this.#tolerate('the heartbeat', async () => {
      const cancelled = await this.#lease.renew(this.#link);
      for (const id of cancelled) this.#running.get(id)?.abort('cancelled');
    });
  }

  #lostLease(): void {
    this.#emit({ event: 'lease-lost', tasks: this.#running.size });
    for (const task of this.#running.values()) task.abort('lease-lost');
  }

  #promoteIn(milliseconds: number): void {
    if (this.#phase === 'started') this.#due.in(milliseconds);
  }

  async #promote(): Promise<void> {
    await this.#tolerate('looking for tasks that are due', async () => {
      const { nextInMs } = await promoteDue(this.#link, this.#names); // its notifications wake us as well
      if (nextInMs !== null) this.#promoteIn(nextInMs);
    });
  }

  /** Claims as much as there are free slots for; asked again meanwhile, once more. */
  #wake(): void {
    this.#wanted = 'claim';
    if (this.#claimer === 'idle') this.#claiming = this.#claimAll();
  }

  async #claimAll(): Promise<void> {
    this.#claimer = 'busy';
    while (this.#mayClaim()) {
      this.#wanted = 'nothing';
      const wanted = [...this.#registrations.values()]
        .map(({ kind, concurrency, running }) => ({ kind: kind.name, limit: concurrency - running }))
        .filter(({ limit }) => limit > 0);
      if (wanted.length > 0) await this.#tolerate('claiming tasks', () => this.#claim(wanted));
    }
    // Not a moment later than the last look at `#wanted`: a call in between would wake nobody.
    this.#claimer = 'idle';
  }

  async #claim(wanted: { kind: string; limit: number }[]): Promise<void> {
    const lease = this.#lease.id;
    const claimed = await claimTasks(this.#link, this.#names, lease, wanted);
    // Lost in between: what was claimed under it is rescued like the rest.
    if (lease === this.#lease.id) for (const task of claimed) this.#run(task);
  }

  #isStarted(): boolean {
    return this.#phase === 'started';
  }

  #mayClaim(): boolean {
    return this.#wanted === 'claim' && this.#isStarted() && this.#link.state === 'open';
  }

  #run(claimed: Claimed): void {
    const registration = this.#registrations.get(claimed.kind);
    if (registration === undefined) return;
    registration.running += 1;
    const task = new RunningTask(claimed, registration, this.#settler);
    this.#running.set(claimed.id, task);
    void task.settled.then((settlement) => {
      registration.running -= 1;
      if (this.#running.get(claimed.id) === task) this.#running.delete(claimed.id);
      const event = eventOf(settlement);
      if (event !== null) this.#emit(event);
      if ('seconds' in settlement.outcome) this.#promoteIn(settlement.outcome.seconds * 1_000);
      this.#wake();
    });
  }

  /** Background work never rejects: what passes is tried again after the reconnect, the rest is reported and tried again in a while. */
  async #tolerate(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#link.state !== 'open') return;
    try {
      await work();
    } catch (error) {
      if (sqlState(error) === UNIQUE_VIOLATION) return this.#wake(); // two claims of one key met
      if (!isPassing(error)) this.#emit({ event: 'failed', what, error: messageOf(error) });
      // With the link down this does nothing, and its reconnect wakes us.
      setTimeout(() => this.#wake(), TROUBLE_RETRY_MS).unref();
    }
  }
}
