import { messageOf } from '@slipway/app';
import { kindWithWork } from '@slipway/queue/scaling';
import type { Context } from '../context.ts';
import { environmentTable } from '../database/records.ts';
import { row } from '../database/sql.ts';
import { enqueueScaling } from '../tasks.ts';
import { parseQueueName } from './queue-name.ts';

/** Milliseconds between two decisions about a worker, however many tasks come. */
const pause = 100;

/**
 * Hears that there is something to do in the queues of apps and enqueues the decision how many slots that needs: with the first task
 * at once, then once in a while. It asks nothing while nothing comes; when to look again without news is up to the decision.
 */
export class Scaler {
  readonly #context: Context;
  /** Queues that were looked after within the pause, and whether more came since. */
  readonly #pauses = new Map<string, { timer: NodeJS.Timeout; more: 'yes' | 'no' }>();
  readonly #enqueueing = new Set<Promise<void>>();
  #off: (() => void) | null = null;

  constructor(context: Context) {
    this.#context = context;
  }

  start(): Promise<void> {
    this.#off ??= this.#context.changes.onTask((notification) => {
      const queue = kindWithWork(notification);
      if (queue !== null) this.#came(queue);
    });
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#off?.();
    this.#off = null;
    for (const { timer } of this.#pauses.values()) clearTimeout(timer);
    this.#pauses.clear();
    await Promise.all(this.#enqueueing);
  }

  #came(queue: string): void {
    const paused = this.#pauses.get(queue);
    if (paused) {
      paused.more = 'yes';
      return;
    }
    const timer = setTimeout(() => {
      const { more } = this.#pauses.get(queue) ?? { more: 'no' };
      this.#pauses.delete(queue);
      if (more === 'yes') this.#came(queue);
    }, pause);
    this.#pauses.set(queue, { timer, more: 'no' });
    const enqueued = this.#enqueue(queue)
      // What is missed here is found when the database is back, or when the next task comes.
      .catch((error: unknown) => this.#context.log(`${queue}: its scaling could not be asked for: ${messageOf(error)}`))
      .finally(() => this.#enqueueing.delete(enqueued));
    this.#enqueueing.add(enqueued);
  }

  async #enqueue(queue: string): Promise<void> {
    const name = parseQueueName(queue);
    if (name === null) return;
    const environment = await row<{ id: string }>(
      this.#context.pool,
      `select environment.id from ${environmentTable}
       where app.name = $1 and environment.name = $2 and environment.removal in ('none', 'waiting')`,
      [name.app, name.environment],
    );
    if (environment) await enqueueScaling(this.#context.queue, null, environment.id, [name.worker]);
  }
}
