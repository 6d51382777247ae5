import path from 'node:path';
import type { Pool, PoolClient } from 'pg';
import { DatabaseSource } from './database-source.ts';
import { DebouncedNotifier } from './debounced-notifier.ts';
import { eventOf, type QueueEvent } from './events.ts';
import { migrate } from './migrate.ts';
import type { EnqueueOptions, QueueOptions, TaskOptions, WorkOptions } from './queue-options.ts';
import type { Settlement } from './running-task.ts';
import { cancelTask } from './statements/cancel.ts';
import { countTasks, type KindCounts } from './statements/counts.ts';
import { type DeadTask, listDead, redriveTask } from './statements/dead.ts';
import { type Enqueued, insertTasks, type NewTask } from './statements/enqueue.ts';
import { housekeep } from './statements/housekeep.ts';
import type { Lane } from './statements/lane.ts';
import { type Names, namesIn } from './statements/names.ts';
import { readTally, type Tallied, type TallyRow } from './statements/tally.ts';
import { readyNotification } from './statements/tell.ts';
import { Tally } from './tally.ts';
import type { TaskKind } from './task-kind.ts';
import { sendSpan } from './telemetry/spans.ts';
import { Worker } from './worker.ts';
import type { Handler } from './attempt.ts';
import { isPassing, messageOf } from './connection-errors.ts';

/** Tasks that one statement adds. */
const CHUNK = 1_000;

/**
 * Durable tasks on PostgreSQL, at least once.
 *
 * | state of a task | meaning | leaves it by |
 * | --- | --- | --- |
 * | scheduled | its time has not come (`runAt`, back-off, snooze) | promote -> ready; cancel -> gone |
 * | blocked   | waits for the last of its batch                   | the end of that -> ready; cancel -> gone |
 * | ready     | may be claimed                                    | claim -> running; cancel -> gone |
 * | running   | leased to a worker process                        | finish -> gone; release -> ready or scheduled; bury -> dead; rescue -> ready or dead |
 * | dead      | in the dead letters, with its history             | redrive -> ready |
 *
 * Each arrow is one statement in `statements/`. Every arrow out of `running` names the lease, which grows each time, so that
 * only the worker that holds the task moves it.
 *
 * What happens to a task: `insertTasks` adds it; a {@link DatabaseSource} claims it for the {@link Worker} of some process, which runs it
 * and hands its outcome back; the source's settler writes that down. What a dead process held is taken back by the others.
 */
export class Queue {
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #listeners = new Set<(event: QueueEvent) => void>();
  readonly #notifier: DebouncedNotifier;
  readonly #tally: Tally;
  readonly #source: DatabaseSource;
  readonly #worker: Worker;
  #phase: 'idle' | 'started' = 'idle';
  #starting: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | null = null;

  constructor(options: QueueOptions) {
    this.#pool = options.pool;
    this.#names = namesIn(options.schema ?? 'slipway_queue');
    if (options.onEvent !== undefined) this.#listeners.add(options.onEvent);
    this.#notifier = new DebouncedNotifier(this.#pool, this.#names.channel);
    this.#tally = new Tally(this.#pool, this.#names);
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
      housekeeping: (db) => housekeep(db, this.#names),
    });
    this.#worker = new Worker({
      source: this.#source,
      onSettled: (settlement) => this.#settled(settlement),
      onTrouble: (what, error) => {
        if (!isPassing(error)) this.#emit({ event: 'failed', what, error: messageOf(error) });
      },
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
    await this.#stopping;
    if (this.#phase !== 'idle') return this.#starting;
    this.#phase = 'started';
    this.#starting = this.#startNow();
    return this.#starting;
  }

  async #startNow(): Promise<void> {
    try {
      await this.#source.start({
        onWork: () => this.#worker.wake(),
        onCancelled: (taskId) => this.#worker.abort(taskId, 'cancelled'),
        onLost: () => {
          this.#emit({ event: 'lease-lost', tasks: this.#worker.held().length });
          this.#worker.abortAll('lease-lost');
        },
        running: () => this.#worker.held(),
      });
    } catch (error) {
      this.#phase = 'idle';
      throw error;
    }
    this.#worker.start();
  }

  /**
   * Stops: claims nothing more, aborts the signal of every running attempt, waits up to `graceSeconds` (default 10) until
   * they have ended, and gives the others back at once, without using up a retry. Safe to call twice, or before `start`.
   */
  async stop(options: { graceSeconds?: number } = {}): Promise<void> {
    if (this.#phase === 'idle') return;
    this.#stopping ??= this.#stopNow(options.graceSeconds ?? 10).finally(() => {
      this.#phase = 'idle';
      this.#stopping = null;
    });
    return this.#stopping;
  }

  async #stopNow(graceSeconds: number): Promise<void> {
    await this.#starting.catch(() => undefined);
    await this.#worker.stop(graceSeconds);
    this.#source.giveUp();
    await this.#tally.flush();
    await this.#source.stop();
  }

  /**
   * Adds a task and returns its id (or the id of the waiting one with the same `unique`).
   *
   * @throws {ZodError} when the payload does not match the kind.
   */
  async enqueue<P>(kind: TaskKind<P>, payload: P, options: EnqueueOptions = {}): Promise<string> {
    const { client, ...task } = options;
    const [added] = await this.#enqueue(kind, [{ ...task, payload }], client);
    if (added === undefined) throw new Error('a task was added and has no id');
    return added;
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
    return this.#enqueue(kind, tasks, options.client);
  }

  async #enqueue<P>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & TaskOptions)[],
    client: PoolClient | undefined,
  ): Promise<string[]> {
    for (const { payload } of tasks) {
      const checked = kind.payload.safeParse(payload);
      if (!checked.success) throw checked.error;
    }
    return sendSpan(kind.name, tasks.length, async (trace) => {
      const ids: string[] = [];
      for (const chunk of chunksOf(tasks)) ids.push(...(await this.#insert(kind, chunk, client, trace)));
      return ids;
    });
  }

  async #insert<P>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & TaskOptions)[],
    client: PoolClient | undefined,
    trace: string | null,
  ): Promise<string[]> {
    const lane = tasks[0]?.lane ?? 'normal';
    // In the caller's transaction only its commit may tell; and the moment when a task is due is told for each. Of tasks that
    // are ready at once, one notification in a while is enough.
    const plain = client === undefined && tasks.every(isReadyLine);
    const notify = plain ? this.#notifier.take(`${kind.name} ${lane}`) : 'now';
    const added = await insertTasks(
      client ?? this.#pool,
      this.#names,
      {
        kind: kind.name,
        lane,
        lossesAllowed: kind.losses,
        keepSeconds: kind.keepSeconds,
        trace,
        batchId: null,
        state: 'by-time',
        notify,
      },
      tasks.map(newTask),
    );
    this.#tally.count(kind.name, lane, 'enqueued', added.length);
    if (client === undefined) for (const news of newsOf(kind.name, lane, tasks, added)) this.#tell(news, notify);
    return added.map(({ id }) => id);
  }

  /** Registers the handler of a kind and lane, before or after `start`. @throws {Error} when there is one. */
  work<P>(kind: TaskKind<P>, handler: Handler<P>, options: WorkOptions = {}): void {
    this.#worker.register({
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the payload is checked by this very kind before the handler sees it
      ...({ kind, handler } as unknown as { kind: TaskKind<unknown>; handler: Handler<unknown> }),
      lane: options.lane ?? 'normal',
      concurrency: options.concurrency ?? 4,
      timeoutSeconds: options.timeoutSeconds ?? null,
      open: async (stored) => stored,
    });
  }

  /** Changes how many tasks of a kind and lane run at once in this process. What runs goes on. */
  resize(kind: string, lane: Lane, concurrency: number): void {
    this.#worker.resize(kind, lane, concurrency);
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

  /** How many tasks there are, by kind and state: counted one by one, which takes a while for many. */
  counts(): Promise<Record<string, KindCounts>> {
    return countTasks(this.#pool, this.#names);
  }

  /** What happened since the beginning, by kind and lane; the last two seconds may be missing. */
  async tally(): Promise<TallyRow[]> {
    await this.#tally.flush();
    return readTally(this.#pool, this.#names);
  }

  /** Calls `listener` for everything that happens in this process from now on. Call what it returns to end that. */
  onEvent(listener: (event: QueueEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #emit(event: QueueEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #tell(news: string, notify: 'now' | 'later'): void {
    if (notify === 'later') this.#notifier.owe(news);
    this.#source.told(news);
  }

  #settled(settlement: Settlement): void {
    const { task, outcome, busySeconds, verdict } = settlement;
    const event = eventOf(settlement);
    if (verdict === 'done') {
      const count = (what: Tallied, by = 1) => this.#tally.count(task.kind, task.lane, what, by);
      count('started');
      count('busy_seconds', busySeconds);
      count('waited_seconds', task.waitedSeconds);
      for (const what of talliedFor(outcome)) count(what);
    }
    this.#emit(event);
  }
}

function talliedFor(outcome: Settlement['outcome']): Tallied[] {
  switch (outcome.kind) {
    case 'done':
    case 'interrupted':
    case 'snoozed':
      return [outcome.kind];
    case 'again':
      return [countersOf[outcome.cause]];
    case 'escalated':
      return [countersOf[outcome.cause], 'escalated'];
    case 'dead':
      if (outcome.cause === 'crashed') return ['crashes', 'dead'];
      if (outcome.cause === 'out-of-memory') return ['ooms', 'dead'];
      return [outcome.cause === 'timed-out' ? 'timeouts' : 'errors', 'dead'];
  }
}

const countersOf = { error: 'errors', crash: 'crashes', oom: 'ooms', timeout: 'timeouts' } as const;

function isReadyLine({ key, runAt, delaySeconds }: TaskOptions): boolean {
  return key === undefined && runAt === undefined && delaySeconds === undefined;
}

function newTask({ payload, runAt, delaySeconds, priority, key, unique }: { payload: unknown } & TaskOptions): NewTask {
  return {
    payload,
    ...(runAt !== undefined && { runAt }),
    ...(delaySeconds !== undefined && { delay: delaySeconds }),
    ...(priority !== undefined && { priority }),
    ...(key !== undefined && { key }),
    ...(unique !== undefined && { unique }),
  };
}

/** At most a thousand with one lane each, none of which has the unique name of another. */
function* chunksOf<T extends TaskOptions>(tasks: readonly T[]): Generator<T[]> {
  let chunk: T[] = [];
  let names = new Set<string>();
  for (const task of tasks) {
    const clash = task.unique !== undefined && names.has(task.unique);
    if (
      chunk.length === CHUNK ||
      clash ||
      (chunk[0] !== undefined && (chunk[0].lane ?? 'normal') !== (task.lane ?? 'normal'))
    ) {
      yield chunk;
      chunk = [];
      names = new Set();
    }
    chunk.push(task);
    if (task.unique !== undefined) names.add(task.unique);
  }
  if (chunk.length > 0) yield chunk;
}

/** What a statement that added tasks tells, once for each line. */
function newsOf(kind: string, lane: Lane, tasks: readonly TaskOptions[], added: readonly Enqueued[]): Set<string> {
  const news = new Set<string>();
  const first = new Map<number, number>();
  for (const [index, { state, position, dueInMs }] of added.entries()) {
    const { key, priority = 0 } = tasks[index] ?? {};
    if (state === 'scheduled') news.add(`scheduled ${dueInMs}`);
    else if (key !== undefined) news.add(`keyed ${kind} ${lane}`);
    else first.set(priority, Math.min(first.get(priority) ?? Infinity, position));
  }
  for (const [priority, position] of first) news.add(readyNotification({ kind, lane, priority, position }));
  return news;
}
