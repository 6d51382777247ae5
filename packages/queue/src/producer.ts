import type { Pool, PoolClient } from 'pg';
import type { DebouncedNotifier } from './debounced-notifier.ts';
import { inTransaction } from './in-transaction.ts';
import { isInline, type ObjectStore, storePayload } from './objects/index.ts';
import type { BatchOptions, CronOptions, EnqueueOptions, MemberOptions, TaskOptions } from './queue-options.ts';
import { checkSchedule, nextTime } from './schedule.ts';
import { insertBatch, openBatch } from './statements/add-batch.ts';
import { databaseNow, saveCron } from './statements/cron.ts';
import { type Enqueued, insertTasks, type NewTask, type NewTasks } from './statements/enqueue.ts';
import type { Lane } from './statements/lane.ts';
import type { Database, Names } from './statements/names.ts';
import { keyedNotification, readyNotification } from './statements/tell.ts';
import type { Tally } from './tally.ts';
import type { TaskKind } from './task-kind.ts';
import { sendSpan } from './telemetry/spans.ts';

/** Tasks that one statement adds. */
const CHUNK = 1_000;
/** Characters: an entry of an index holds 2704 bytes. */
const LONGEST_KEY = 500;

/** What a batch became. */
export interface AddedBatch {
  batchId: string;
  /** The task that becomes ready when the last member has ended. */
  fanInId: string;
  /** In the order of the members. */
  taskIds: string[];
}

type Item = { payload: unknown } & TaskOptions;

export interface ProducerOptions {
  pool: Pool;
  names: Names;
  notifier: DebouncedNotifier;
  tally: Tally;
  /** For large payloads; null: there is none. */
  objects: ObjectStore | null;
  /** What was added and committed, as a notification would tell it: this process need not wait for its own. */
  told: (news: string) => void;
}

/** Adds tasks. */
export class Producer {
  readonly #options: ProducerOptions;

  constructor(options: ProducerOptions) {
    this.#options = options;
  }

  async enqueue<P>(kind: TaskKind<P>, payload: P, options: EnqueueOptions): Promise<string> {
    const { client, ...task } = options;
    const [added] = await this.enqueueMany(kind, [{ ...task, payload }], client);
    if (added === undefined) throw new Error('a task was added and has no id');
    return added;
  }

  async enqueueMany<P>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & TaskOptions)[],
    client: PoolClient | undefined,
  ): Promise<string[]> {
    for (const task of tasks) check(kind, task);
    return sendSpan(kind.name, tasks.length, async (trace) => {
      const ids: string[] = [];
      for (const chunk of chunksOf(tasks)) ids.push(...(await this.#insert(kind, chunk, client, trace)));
      return ids;
    });
  }

  async enqueueBatch<P, F>(
    kind: TaskKind<P>,
    tasks: readonly ({ payload: P } & MemberOptions)[],
    options: BatchOptions<F>,
  ): Promise<AddedBatch> {
    const { kind: closing, ...last } = options.fanIn;
    for (const task of [...tasks, last]) refuseUnique(task);
    for (const task of tasks) check(kind, task);
    check(closing, last);
    const added = await sendSpan(kind.name, tasks.length, (trace) =>
      this.#inTransaction(options.client, async (db) => {
        const batchId = await openBatch(db, this.#options.names);
        const state = tasks.length === 0 ? 'by-time' : 'blocked';
        const [fanIn] = await this.#write(db, closing, [last], { batchId, state, notify: 'now', trace });
        if (fanIn === undefined) throw new Error('the closing task of a batch was added and has no id');
        const fanInId = fanIn.id;
        await insertBatch(db, this.#options.names, { id: batchId, fanInId, size: tasks.length });
        const members: Enqueued[] = [];
        for (const chunk of chunksOf(tasks)) {
          members.push(...(await this.#write(db, kind, chunk, { batchId, state: 'by-time', notify: 'now', trace })));
        }
        return { batchId, fanInId, taskIds: members.map(({ id }) => id) };
      }),
    );
    this.#options.tally.count(closing.name, last.lane ?? 'normal', 'enqueued');
    for (const { lane = 'normal' } of tasks) this.#options.tally.count(kind.name, lane, 'enqueued');
    return added;
  }

  async cron<P>(options: CronOptions<P>): Promise<void> {
    const { name, schedule, timezone = 'UTC', kind, ...task } = options;
    checkSchedule({ name, schedule, timezone });
    check(kind, task);
    const all = {
      kind: kind.name,
      lane: task.lane ?? 'normal',
      lossesAllowed: kind.losses,
      keepSeconds: kind.keepSeconds,
    };
    const { pool, names, objects } = this.#options;
    if (objects !== null && !isInline(JSON.stringify(task.payload ?? null)))
      throw new Error(
        `schedule ${name}: its payload is larger than 64 KiB as JSON, or has a field '$object'. Payloads of schedules are not put into the object store. ` +
          'Make it smaller: refer to what is large, and let the handler fetch it. Nothing was changed.',
      );
    const nextAt = nextTime(schedule, timezone, await databaseNow(pool));
    await saveCron(pool, names, { name, schedule, timezone, task: newTask(task), all }, nextAt);
  }

  async #insert<P>(
    kind: TaskKind<P>,
    tasks: readonly Item[],
    client: PoolClient | undefined,
    trace: string | null,
  ): Promise<string[]> {
    const lane = tasks[0]?.lane ?? 'normal';
    // In the caller's transaction only its commit may tell; and the moment when a task is due is told for each. Of tasks that
    // are ready at once, one notification in a while is enough.
    const plain = client === undefined && tasks.every(isReadyLine);
    const notify = plain ? this.#options.notifier.take(`${kind.name} ${lane}`) : 'now';
    const db = client ?? this.#options.pool;
    const added = await this.#write(db, kind, tasks, { batchId: null, state: 'by-time', notify, trace });
    this.#options.tally.count(kind.name, lane, 'enqueued', added.length);
    if (client === undefined) for (const news of newsOf(kind.name, lane, tasks, added)) this.#tell(news, notify);
    return added.map(({ id }) => id);
  }

  /** @param tasks All of one lane. */
  async #write<P>(
    db: Database,
    kind: TaskKind<P>,
    tasks: readonly Item[],
    how: Pick<NewTasks, 'batchId' | 'state' | 'notify' | 'trace'>,
  ): Promise<Enqueued[]> {
    const lane = tasks[0]?.lane ?? 'normal';
    const { name, losses: lossesAllowed, keepSeconds } = kind;
    const all = { kind: name, lane, lossesAllowed, keepSeconds, ...how };
    const stored = await this.#offloaded(tasks);
    return insertTasks(db, this.#options.names, all, stored.map(newTask));
  }

  /** With references in place of large payloads, which are in the object store before any row refers to them. */
  async #offloaded(tasks: readonly Item[]): Promise<readonly Item[]> {
    const { objects } = this.#options;
    if (objects === null) return tasks;
    const stored: Item[] = [];
    for (const task of tasks) {
      const reference = await storePayload(objects, JSON.stringify(task.payload ?? null));
      stored.push(reference === null ? task : { ...task, payload: reference });
    }
    return stored;
  }

  #tell(news: string, notify: 'now' | 'later'): void {
    if (notify === 'later') this.#options.notifier.owe(news);
    this.#options.told(news);
  }

  /** In the caller's transaction, or one of its own. */
  #inTransaction<T>(client: PoolClient | undefined, work: (db: Database) => Promise<T>): Promise<T> {
    return client === undefined ? inTransaction(this.#options.pool, work) : work(client);
  }
}

/** @throws {ZodError} for the payload. @throws {Error} for a key or name that can't be stored. */
function check<P>(kind: TaskKind<P>, task: { payload: P } & TaskOptions): void {
  const checked = kind.payload.safeParse(task.payload);
  if (!checked.success) throw checked.error;
  for (const field of ['key', 'unique'] as const) {
    const value = task[field];
    if (value === undefined || (value.length > 0 && value.length <= LONGEST_KEY && !value.includes('\0'))) continue;
    const found = value === '' ? 'empty' : `${value.length} characters long, or holds the character U+0000`;
    throw new Error(
      `kind ${kind.name}: '${field}' of a task is ${found}; expected 1 to ${LONGEST_KEY} characters. Nothing was added.`,
    );
  }
}

/** Types exclude it, but not every caller is checked by them. */
function refuseUnique(task: MemberOptions & { unique?: unknown }): void {
  if (task.unique === undefined) return;
  throw new Error(
    `A task of a batch has the unique name ${JSON.stringify(task.unique)}: one that waits already could not be counted in the batch. ` +
      "Leave 'unique' away. Nothing was added.",
  );
}

function isReadyLine({ key, runAt, delaySeconds }: TaskOptions): boolean {
  return key === undefined && runAt === undefined && delaySeconds === undefined;
}

function newTask({ payload, runAt, delaySeconds, priority, key, unique }: Item): NewTask {
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
    const otherLane = chunk[0] !== undefined && (chunk[0].lane ?? 'normal') !== (task.lane ?? 'normal');
    if (chunk.length === CHUNK || clash || otherLane) {
      yield chunk;
      chunk = [];
      names = new Set();
    }
    chunk.push(task);
    if (task.unique !== undefined) names.add(task.unique);
  }
  if (chunk.length > 0) yield chunk;
}

/** What a statement that added tasks tells, once for each line and key. */
function newsOf(kind: string, lane: Lane, tasks: readonly TaskOptions[], added: readonly Enqueued[]): Set<string> {
  const news = new Set<string>();
  const first = new Map<number, number>();
  for (const [index, { state, position, dueInMs }] of added.entries()) {
    const { key, priority = 0 } = tasks[index] ?? {};
    if (state === 'scheduled') news.add(`scheduled ${dueInMs}`);
    else if (key !== undefined) news.add(keyedNotification({ kind, lane, key }));
    else first.set(priority, Math.min(first.get(priority) ?? Infinity, position));
  }
  for (const [priority, position] of first) news.add(readyNotification({ kind, lane, priority, position }));
  return news;
}
