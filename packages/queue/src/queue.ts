import path from 'node:path';
import type { Pool, PoolClient } from 'pg';
import type { Handler } from './attempt.ts';
import { boundedPool } from './bounded-pool.ts';
import { collectObjects } from './collect-objects.ts';
import { isPassing } from './connection-errors.ts';
import { Consumer } from './consumer.ts';
import { DatabaseSource } from './database-source.ts';
import { DebouncedNotifier } from './debounced-notifier.ts';
import { eventOf, type QueueEvent } from './events.ts';
import { HolderWatch } from './holder-watch.ts';
import { migrate } from './migrate.ts';
import { type Garbage, type ObjectStore, ownStore } from './objects/index.ts';
import { type AddedBatch, Producer } from './producer.ts';
import type {
  BatchOptions,
  CronOptions,
  EnqueueOptions,
  MemberOptions,
  QueueOptions,
  TaskOptions,
  WorkOptions,
} from './queue-options.ts';
import { Broker } from './remote/broker.ts';
import type { Settlement } from './running-task.ts';
import { type AttemptSample, readSamples } from './sizing/index.ts';
import { housekeep } from './statements/housekeep.ts';
import { readIdentity } from './statements/identity.ts';
import type { Lane } from './statements/lane.ts';
import { type Names, namesIn } from './statements/names.ts';
import { readTally, type TallyRow } from './statements/tally.ts';
import { Tally } from './tally.ts';
import { TaskDesk } from './task-desk.ts';
import type { TaskKind } from './task-kind.ts';
import { UsageWriter } from './usage-writer.ts';
import { within } from './within.ts';

/**
 * Durable tasks on PostgreSQL, at least once.
 *
 * | state of a task | meaning | leaves it by |
 * | --- | --- | --- |
 * | scheduled | its time has not come (`runAt`, back-off, snooze) | promote -> ready; cancel -> gone |
 * | blocked   | waits for the last of its batch                   | the end of that -> ready; cancel -> gone |
 * | ready     | may be claimed                                    | claim -> running; cancel -> gone |
 * | running   | leased to a worker process                        | finish -> gone; release -> ready or scheduled; unclaim -> ready; bury -> dead; rescue -> ready or dead |
 * | dead      | in the dead letters, with its history             | redrive -> ready |
 *
 * Each arrow is one statement in `statements/`. Every arrow out of `running` names the lease, which grows each time, so that
 * only the worker that holds the task moves it; or, for a rescue, a worker that is gone.
 *
 * The way of a task, in the order in which to read the code:
 *
 * | file | what happens |
 * | --- | --- |
 * | producer.ts        | it is added, and those who may work on it are told |
 * | consumer.ts        | holds a source and a worker together, and starts and stops both |
 * | database-source.ts | hears of it: by a notification, when it is due, or by looking now and then |
 * | claimer.ts         | decides where to look, and leases it to this process |
 * | worker.ts          | gives it a slot |
 * | running-task.ts    | runs the handler; outcome.ts says what its end means for the task |
 * | settler.ts         | writes that down, if the lease is still held |
 * | worker-lease.ts    | keeps the leases of this process, and takes back those of processes that are gone |
 */
export class Queue extends TaskDesk {
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #listeners = new Set<(event: QueueEvent) => void>();
  readonly #tally: Tally;
  readonly #usage: UsageWriter;
  readonly #objects: ObjectStore | null;
  readonly #broker: Broker;
  readonly #holders: HolderWatch;
  readonly #source: DatabaseSource;
  readonly #consumer: Consumer;
  readonly #producer: Producer;

  constructor(options: QueueOptions) {
    const names = namesIn(options.schema ?? 'slipway_queue');
    super(options.pool, names);
    this.#pool = options.pool;
    this.#names = names;
    if (options.onEvent !== undefined) this.#listeners.add(options.onEvent);
    const bounded = boundedPool(this.#pool, 5);
    this.#tally = new Tally(bounded, this.#names);
    this.#usage = new UsageWriter(bounded, this.#names);
    this.#objects = options.objects === undefined ? null : this.own(options.objects);
    this.#broker = new Broker({
      pool: this.#pool,
      names: this.#names,
      leaseSeconds: options.leaseSeconds ?? 15,
      onSettled: (settlement) => this.#settled(settlement),
    });
    this.#holders = new HolderWatch({
      seconds: options.heldTransactionSeconds ?? 60,
      emit: (event) => this.#emit(event),
    });
    this.#source = new DatabaseSource({
      pool: this.#pool,
      names: this.#names,
      leaseSeconds: options.leaseSeconds ?? 15,
      emit: (event) => this.#emit(event),
      onRescued: (task) => {
        this.#tally.count(task.kind, task.lane, 'lost');
        if (task.fate === 'dead') this.#tally.count(task.kind, task.lane, 'dead');
        const { id: taskId, ...rest } = task;
        this.#emit({ event: 'rescued', taskId, ...rest });
      },
      onAdded: (kind, lane) => this.#tally.count(kind, lane, 'enqueued'),
      housekeeping: async (db) => {
        await housekeep(db, this.#names);
        await this.#holders.look(db);
      },
    });
    this.#consumer = new Consumer({
      source: this.#source,
      payloads: this.#objects,
      emit: (event) => this.#emit(event),
      onSettled: (settlement) => this.#settled(settlement),
      isPassing,
      // Counts and measurements that can't be written now are not worth waiting for.
      onEmpty: () =>
        Promise.all([within(2, Promise.all([this.#tally.flush(), this.#usage.flush()])), this.#broker.stop()]),
    });
    this.#producer = new Producer({
      pool: this.#pool,
      names: this.#names,
      notifier: new DebouncedNotifier(bounded, this.#names.channel),
      tally: this.#tally,
      objects: this.#objects,
      told: (news) => this.#source.told(news),
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
    await this.#consumer.start();
  }

  /**
   * Stops: claims nothing more, aborts the signal of every running attempt, waits up to `graceSeconds` (default 10) until
   * they have ended, and gives the others back at once, without using up a retry. Safe to call twice, or before `start`.
   */
  async stop(options: { graceSeconds?: number } = {}): Promise<void> {
    await this.#consumer.stop(options);
    // Also when nothing was started here, or a request came meanwhile.
    await this.#broker.stop();
  }

  /**
   * Adds a task and returns its id (or the id of the waiting one with the same `unique`).
   *
   * @throws {ZodError} when the payload does not match the kind.
   */
  async enqueue<P>(kind: TaskKind<P>, payload: P, options: EnqueueOptions = {}): Promise<string> {
    return this.#producer.enqueue(kind, payload, options);
  }

  /**
   * Adds many tasks, a thousand with each statement, and returns their ids in the same order. Without a `client` it can
   * fail in the middle: what was added before stays. With one, all exist when the caller's transaction commits.
   *
   * @throws {ZodError} when a payload does not match the kind; nothing is added then.
   */
  async enqueueMany<P>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & TaskOptions)[],
    options: { client?: PoolClient } = {},
  ): Promise<string[]> {
    return this.#producer.enqueueMany(kind, tasks, options.client);
  }

  /**
   * Adds tasks as a batch: when the last of them has ended, done, dead or cancelled, the task `fanIn` becomes ready, once. Its
   * handler reads how they ended by {@link TaskDesk.batchResults}. All of it in one transaction; of an empty batch, `fanIn` is ready at once.
   *
   * @throws {ZodError} when a payload does not match its kind. @throws {Error} for a unique name. Nothing is added then.
   */
  async enqueueBatch<P, F>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & MemberOptions)[],
    options: BatchOptions<F>,
  ): Promise<AddedBatch> {
    return this.#producer.enqueueBatch(kind, tasks, options);
  }

  /**
   * Adds a task at every time of a schedule, by PostgreSQL's clock, once over all processes; some queue must be started. Of times
   * that pass while none is, the latest is made up for. A schedule of the same name is changed: it takes effect at once, everywhere.
   *
   * ```ts
   * await queue.cron({ name: 'report', schedule: '0 3 * * *', timezone: 'Europe/Vienna', kind: report, payload: {} });
   * ```
   *
   * @throws {ZodError} for the payload. @throws {Error} that names another field which can't be used.
   */
  async cron<P>(options: CronOptions<P>): Promise<void> {
    return this.#producer.cron(options);
  }

  /** Registers the handler of a kind and lane, before or after `start`. @throws {Error} when there is one. */
  work<P>(kind: TaskKind<P>, handler: Handler<P>, options: WorkOptions = {}): void {
    this.#consumer.work(kind, handler, options);
  }

  /** Changes how many tasks of a kind and lane run at once in this process. What runs goes on. */
  resize(kind: string, lane: Lane, concurrency: number): void {
    this.#consumer.resize(kind, lane, concurrency);
  }

  /** What happened since the beginning, by kind and lane; the last two seconds may be missing. */
  async tally(): Promise<TallyRow[]> {
    await this.#tally.flush();
    return readTally(this.#pool, this.#names);
  }

  /** What the newest measured attempts of a kind used, oldest first; the last two seconds may be missing. */
  async usage(kind: string, { newest = 5_000 }: { newest?: number } = {}): Promise<AttemptSample[]> {
    await this.#usage.flush();
    return (await readSamples(this.#pool, this.#names.schema, kind, { after: null, limit: newest })).samples;
  }

  /**
   * Deletes what no task needs any more from the object store, which must be this queue's alone. Any process may do it; once a day is enough.
   *
   * @param options.olderThanSeconds What is younger stays: see {@link collectGarbage}. At least 7200, by default a day.
   * @throws {ObjectStoreForeign} when the store is not marked as this queue's; nothing is deleted. {ObjectStoreDown} in the middle; the next call
   *   goes on. @throws {Error} when the queue has no object store.
   */
  async collectObjects({ olderThanSeconds = 86_400 }: { olderThanSeconds?: number } = {}): Promise<Garbage> {
    if (this.#objects === null)
      throw new Error("This queue has no object store to collect from. Open it with 'objects'.");
    return collectObjects(this.#pool, this.#names, this.#objects, { olderThanSeconds, now: Date.now() });
  }

  /**
   * The same store, for programs that put objects of tasks there themselves. It takes nothing while it is another queue's: then `put` throws
   * {@link ObjectStoreForeign}.
   */
  own(store: ObjectStore): ObjectStore {
    return ownStore(store, () => readIdentity(this.#pool, this.#names));
  }

  /** What serves workers that don't reach PostgreSQL: see {@link tasksApi}. It is started when it is first needed, and stopped with the queue. */
  broker(): Broker {
    return this.#broker;
  }

  /** Calls `listener` for everything that happens in this process from now on. Call what it returns to end that. */
  onEvent(listener: (event: QueueEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #emit(event: QueueEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #settled(settlement: Settlement): void {
    this.#holders.taskEnded();
    const { task, outcome, busySeconds, verdict } = settlement;
    if (verdict === 'done') {
      this.#tally.ended(task, outcome, busySeconds);
      this.#usage.note(settlement);
    }
    if (this.#listeners.size > 0) this.#emit(eventOf(settlement));
  }
}
