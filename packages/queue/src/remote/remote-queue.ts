import { z } from 'zod';
import type { Handler } from '../attempt.ts';
import { Consumer } from '../consumer.ts';
import { eventOf, type QueueEvent } from '../events.ts';
import type { TaskOptions, WorkOptions } from '../queue-options.ts';
import type { Lane } from '../statements/lane.ts';
import type { TaskKind } from '../task-kind.ts';
import { type ApiAddress, ApiClient, ApiRefused, ApiUnreachable } from './api-client.ts';
import type { LaneSlots } from './lane-slots.ts';
import { type FileStore, remoteFiles } from './remote-files.ts';
import { RemoteSource } from './remote-source.ts';
import * as schemas from './schemas.ts';
import { SlotShare } from './slot-share.ts';

const PATIENCE = 30;
/** Tasks of one request. */
const CHUNK = 1_000;

export interface RemoteQueueOptions extends ApiAddress {
  /** What those who run the worker call it, such as its pod: who sees it die can say so. */
  name?: string;
  /** Called for everything an operator may want to know. */
  onEvent?: (event: QueueEvent) => void;
  /**
   * How many tasks of each lane are to run at once here: told at each heartbeat, and when it changes. With this the worker takes part in the slots
   * that were decided for its lanes: several share them, and none of them may run more than it is told. Call `resize` at once.
   */
  onSlots?: (slots: LaneSlots[]) => void;
}

/**
 * The queue over HTTP, for workers and programs that have no PostgreSQL: the same handlers, with the same promises, as {@link Queue}.
 *
 * ```ts
 * const queue = new RemoteQueue({ url: 'https://slipway.example.com/api/queue', token });
 * queue.work(resize, async ({ image }) => …);
 * await queue.start();
 * ```
 */
export class RemoteQueue {
  /** Input files, and the output of the attempts that run here. */
  readonly files: FileStore;
  readonly #client: ApiClient;
  readonly #consumer: Consumer;
  readonly #slots: SlotShare;

  /** @throws {Error} for a URL that is none. */
  constructor(options: RemoteQueueOptions) {
    const { onEvent: emit = () => undefined } = options;
    this.#client = new ApiClient(options);
    this.#slots = new SlotShare(options.onSlots ?? null);
    const source = new RemoteSource({ client: this.#client, name: options.name ?? null, emit, slots: this.#slots });
    this.files = remoteFiles(this.#client, () => source.workerId);
    this.#consumer = new Consumer({
      source,
      payloads: this.files,
      emit,
      onBegun: (kind, lane) => this.#slots.begun(kind, lane), // until it is settled
      onSettled: (settlement) => emit(eventOf(settlement)),
      isPassing: (error) => error instanceof ApiUnreachable,
    });
  }

  /** Begins to work on tasks. @throws {ApiRefused} {ApiUnreachable} when the server can't be used now; later it is waited for. */
  async start(): Promise<void> {
    await this.#consumer.start();
  }

  /** As {@link Queue.stop}. */
  async stop(options: { graceSeconds?: number } = {}): Promise<void> {
    await this.#consumer.stop(options);
  }

  /** As {@link Queue.work}. How often a task is tried again says this kind; keys, rates and how long results are kept, the server's. */
  work<P>(kind: TaskKind<P>, handler: Handler<P>, options: WorkOptions = {}): void {
    this.#slots.serve(kind.name, options.lane ?? 'normal', options.concurrency ?? 4);
    this.#consumer.work(kind, handler, options);
  }

  /** Changes how many tasks of a kind and lane run at once in this process. What runs goes on. */
  resize(kind: string, lane: Lane, concurrency: number): void {
    this.#consumer.resize(kind, lane, concurrency);
  }

  /**
   * Adds a task and returns its id (or the id of the waiting one with the same `unique`).
   *
   * @throws {ZodError} when the payload does not match the kind; {ApiRefused}; {ApiUnreachable}: it may have been added.
   */
  async enqueue<P>(kind: TaskKind<P>, payload: P, options: TaskOptions = {}): Promise<string> {
    const [id] = await this.enqueueMany(kind, [{ ...options, payload }]);
    if (id === undefined) throw new Error('a task was added and has no id');
    return id;
  }

  /** Adds many tasks, a thousand with each request. It can fail in the middle: what was added before stays. */
  async enqueueMany<P>(kind: TaskKind<P>, tasks: readonly ({ payload: P } & TaskOptions)[]): Promise<string[]> {
    for (const { payload } of tasks) {
      const checked = kind.payload.safeParse(payload);
      if (!checked.success) throw checked.error;
    }
    const ids: string[] = [];
    for (let at = 0; at < tasks.length; at += CHUNK) {
      const body = { tasks: tasks.slice(at, at + CHUNK) };
      const added = await this.#client.call('POST', `/tasks/${kind.name}`, body, schemas.ids, { seconds: PATIENCE });
      ids.push(...added.ids);
    }
    return ids;
  }

  /** As {@link Queue.cancel}. */
  async cancel(taskId: string): Promise<boolean> {
    try {
      await this.#client.call('DELETE', `/tasks/${taskId}`, undefined, z.object({}), { seconds: PATIENCE });
      return true;
    } catch (error) {
      if (error instanceof ApiRefused && (error.status === 404 || error.status === 409)) return false;
      throw error;
    }
  }
}
