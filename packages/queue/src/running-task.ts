import { type AbortCause, type Attempt, AttemptAborted, type Handler } from './attempt.ts';
import { attemptTask, type Outcome } from './outcome.ts';
import type { Settled, Settler } from './settler.ts';
import type { Claimed } from './statements/claim.ts';
import type { TaskKind } from './task-kind.ts';

/** A handler and what it has to do with; `running` counts up to `concurrency`. */
export interface Registration {
  kind: TaskKind<unknown>;
  handler: Handler<unknown>;
  concurrency: number;
  running: number;
}

export interface Settlement extends Settled {
  task: Claimed;
  outcome: Outcome;
}

/**
 * One attempt in this process, from claim to settlement. It is settled once: by its handler's end, or before that by
 * `interrupt`; what the handler says afterwards is ignored.
 */
export class RunningTask {
  /** Never rejects. Until then the task keeps its slot. */
  readonly settled: Promise<Settlement>;
  readonly #task: Claimed;
  readonly #settler: Settler;
  readonly #controller = new AbortController();
  readonly #first = Promise.withResolvers<Settlement>();
  #settling: 'yes' | 'no' = 'no';

  constructor(task: Claimed, { kind, handler }: Registration, settler: Settler) {
    this.#task = task;
    this.#settler = settler;
    this.settled = this.#first.promise;
    const { signal } = this.#controller;
    const attempt: Attempt = { taskId: task.id, number: task.attempts, lease: task.lease, signal };
    // `async`: a handler that throws before its first await rejects all the same.
    void attemptTask(kind, task, async (payload) => handler(payload, attempt), signal).then((outcome) =>
      this.#settle(outcome),
    );
  }

  abort(cause: AbortCause): void {
    this.#controller.abort(new AttemptAborted(cause));
  }

  /** Gives the task back at once; the handler may still run. */
  async interrupt(): Promise<void> {
    await this.#settle({ kind: 'interrupted' });
  }

  async #settle(outcome: Outcome): Promise<void> {
    if (this.#settling === 'no') {
      this.#settling = 'yes';
      const settled = await this.#settler.settle(this.#task, outcome);
      this.#first.resolve({ ...settled, task: this.#task, outcome });
    }
    await this.settled;
  }
}
