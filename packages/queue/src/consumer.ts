import type { Handler } from './attempt.ts';
import { describeError } from './connection-errors.ts';
import type { QueueEvent } from './events.ts';
import { type ObjectStore, openPayload } from './objects/index.ts';
import type { WorkOptions } from './queue-options.ts';
import type { Settlement } from './running-task.ts';
import type { Source } from './source.ts';
import type { Lane } from './statements/lane.ts';
import type { TaskKind } from './task-kind.ts';
import { Worker } from './worker.ts';

export interface ConsumerOptions {
  source: Source;
  /** Where large payloads are; null: nowhere, each is in its row. */
  payloads: Pick<ObjectStore, 'get'> | null;
  emit: (event: QueueEvent) => void;
  /** An attempt begins. */
  onBegun?: (kind: string, lane: Lane) => void;
  onSettled: (settlement: Settlement) => void;
  /** Whether an error of a claim heals by waiting: then it is no news, as the source tells that it is not connected. */
  isPassing: (error: unknown) => boolean;
  /** Runs when no attempt is left, before the source stops: writes what they left behind. */
  onEmpty?: () => Promise<unknown>;
}

/**
 * Works on the tasks of a source in this process: a {@link Worker} and its {@link Source}, which start and stop together.
 *
 * | phase | meaning | leaves it by |
 * | --- | --- | --- |
 * | idle    | nothing runs and nothing is connected | start -> started |
 * | started | it connects, works, or is stopping | a start that fails, the end of stop -> idle |
 */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #source: Source;
  readonly #worker: Worker;
  #phase: 'idle' | 'started' = 'idle';
  #starting: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | null = null;

  constructor(options: ConsumerOptions) {
    const { source, emit, onSettled, isPassing } = options;
    this.#options = options;
    this.#source = source;
    this.#worker = new Worker({
      source,
      onSettled,
      onTrouble: (what, error) => {
        if (!isPassing(error)) emit({ event: 'failed', what, error: describeError(error) });
      },
    });
  }

  /** Registers the handler of a kind and lane, before or after `start`. @throws {Error} when there is one. */
  work<P>(kind: TaskKind<P>, handler: Handler<P>, options: WorkOptions): void {
    const { lane = 'normal', concurrency = 4, timeoutSeconds = null } = options;
    const { payloads, onBegun } = this.#options;
    this.#worker.register({
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the payload is checked by this very kind before the handler sees it
      ...({ kind, handler } as unknown as { kind: TaskKind<unknown>; handler: Handler<unknown> }),
      lane,
      concurrency,
      timeoutSeconds,
      open: (stored) => {
        onBegun?.(kind.name, lane);
        return openPayload(payloads, stored);
      },
    });
  }

  resize(kind: string, lane: Lane, concurrency: number): void {
    this.#worker.resize(kind, lane, concurrency);
  }

  /** Waits for a stop that is under way. @throws what the source's first connect throws; it may be started again. */
  async start(): Promise<void> {
    await this.#stopping;
    if (this.#phase === 'idle') {
      this.#phase = 'started';
      this.#starting = this.#startNow();
    }
    await this.#starting;
  }

  async #startNow(): Promise<void> {
    try {
      await this.#source.start({
        onWork: () => this.#worker.wake(),
        onCancelled: (taskId) => this.#worker.abort(taskId, 'cancelled'),
        onLost: () => {
          this.#options.emit({ event: 'lease-lost', tasks: this.#worker.held().length });
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

  /** Safe to call twice, or before `start`. */
  async stop({ graceSeconds = 10 }: { graceSeconds?: number }): Promise<void> {
    if (this.#phase === 'idle') return;
    this.#stopping ??= this.#stopNow(graceSeconds).finally(() => {
      this.#phase = 'idle';
      this.#stopping = null;
    });
    await this.#stopping;
  }

  async #stopNow(graceSeconds: number): Promise<void> {
    await this.#starting.catch(() => undefined);
    await this.#source.stopWaiting();
    await this.#worker.stop(graceSeconds);
    this.#source.giveUp();
    await this.#options.onEmpty?.();
    await this.#source.stop();
  }
}
