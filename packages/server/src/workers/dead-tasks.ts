import { messageOf } from '@slipway/app';
import type { QueueEvent } from '@slipway/queue';
import type { Context } from '../context.ts';
import { environmentTable } from '../database/records.ts';
import { row } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { parseQueueName } from './queue-name.ts';

/** Milliseconds in which the deaths of one queue become one event. */
const pause = 60_000;

interface Deaths {
  count: number;
  last: { taskId: string; error: string };
}

/** Tells of tasks that died, as events: the first of a queue at once, those of the next minute together at its end. */
export class DeadTasks {
  readonly #context: Context;
  readonly #pauses = new Map<string, { timer: NodeJS.Timeout; deaths: Deaths | null }>();
  readonly #telling = new Set<Promise<void>>();
  #off: (() => void) | null = null;

  constructor(context: Context) {
    this.#context = context;
  }

  start(): Promise<void> {
    this.#off ??= this.#context.tasks.onEvent((event) => this.#heard(event));
    return Promise.resolve();
  }

  /** What waits for its minute to end is told now. */
  async stop(): Promise<void> {
    this.#off?.();
    this.#off = null;
    for (const [queue, { timer, deaths }] of this.#pauses) {
      clearTimeout(timer);
      if (deaths) this.#tell(queue, deaths);
    }
    this.#pauses.clear();
    await Promise.all(this.#telling);
  }

  #heard(event: QueueEvent): void {
    if (event.event === 'dead') this.#died(event.kind, event.taskId, `${event.cause}: ${event.error}`);
    if (event.event === 'rescued' && event.fate === 'dead')
      this.#died(event.kind, event.taskId, 'lost: each process that worked on it died');
  }

  #died(queue: string, taskId: string, error: string): void {
    const paused = this.#pauses.get(queue);
    if (paused) {
      paused.deaths = { count: (paused.deaths?.count ?? 0) + 1, last: { taskId, error } };
      return;
    }
    this.#tell(queue, { count: 1, last: { taskId, error } });
    this.#pause(queue);
  }

  #pause(queue: string): void {
    const timer = setTimeout(() => {
      const deaths = this.#pauses.get(queue)?.deaths;
      this.#pauses.delete(queue);
      if (!deaths) return;
      this.#tell(queue, deaths);
      this.#pause(queue);
    }, pause);
    this.#pauses.set(queue, { timer, deaths: null });
  }

  #tell(queue: string, deaths: Deaths): void {
    const told = this.#append(queue, deaths)
      // The dead letters have them all the same.
      .catch((error: unknown) =>
        this.#context.log(`${queue}: a task died and could not be told of: ${messageOf(error)}`),
      )
      .finally(() => this.#telling.delete(told));
    this.#telling.add(told);
  }

  async #append(queue: string, { count, last }: Deaths): Promise<void> {
    const name = parseQueueName(queue);
    const environment = name
      ? await row<{ id: string; appId: string }>(
          this.#context.pool,
          `select environment.id, environment.app_id as "appId" from ${environmentTable}
           where app.name = $1 and environment.name = $2 and environment.removal <> 'removed'`,
          [name.app, name.environment],
        )
      : null;
    if (!name || !environment) return;
    const what =
      count === 1
        ? `task ${last.taskId} of ${name.worker} died`
        : `${count} more tasks of ${name.worker} died, the last of them ${last.taskId}`;
    const firstLine = last.error.split('\n')[0]?.slice(0, 300) ?? '';
    await appendEvent(this.#context.pool, {
      kind: 'task.dead',
      appId: environment.appId,
      environmentId: environment.id,
      message: `${name.environment}: ${what}: ${firstLine}. It is kept: slipway queue show ${queue} ${last.taskId}; to try again: slipway queue retry ${queue} ${last.taskId}`,
      data: { worker: name.worker, task: last.taskId, count },
    });
  }
}
