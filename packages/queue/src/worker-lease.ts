import { randomUUID } from 'node:crypto';
import { sqlState } from './connection-errors.ts';
import type { QueueEvent } from './events.ts';
import { isGone, proveThisProcess } from './host.ts';
import { beat, registerWorker, removeWorkers } from './statements/beat.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';
import { rescueTasks } from './statements/rescue.ts';

export interface WorkerLeaseOptions {
  names: Names;
  leaseSeconds: number;
  emit: (event: QueueEvent) => void;
  /** This process was given up: what it runs belongs to others now. Called before it takes a new lease, under which it may get the same tasks again. */
  onLost: () => void;
}

/**
 * This process's row among the workers, to which its tasks are leased, and its part in taking back the tasks of workers
 * that are gone: those that were silent too long, and, on this host, those whose process does not exist any more.
 */
export class WorkerLease {
  readonly #options: WorkerLeaseOptions;
  readonly #names: Names;
  readonly #proof = proveThisProcess();
  /** Random, and never used again after its lease was lost: names of hosts and process ids come back. */
  #id: string = randomUUID();
  #registered: 'yes' | 'no' = 'no';

  constructor(options: WorkerLeaseOptions) {
    this.#options = options;
    this.#names = options.names;
  }

  get id(): string {
    return this.#id;
  }

  /** Takes a lease, unless there is one. */
  async take(db: Database): Promise<void> {
    if (this.#registered === 'yes') return;
    await registerWorker(db, this.#names, this.#id, this.#proof);
    this.#registered = 'yes';
  }

  /**
   * Says that this process lives, and takes back the tasks of those who don't.
   *
   * @returns Ids of tasks of this process that were cancelled.
   */
  async renew(db: Database): Promise<string[]> {
    const { lease, cancelled, neighbours, orphans } = await beat(db, this.#names, {
      workerId: this.#id,
      host: this.#proof?.host ?? null,
      leaseSeconds: this.#options.leaseSeconds,
    });
    if (lease === 'lost') {
      this.#renounce();
      this.#options.onLost();
      await this.take(db);
    }
    const gone = neighbours.filter(({ pid, processStart }) => isGone(pid, processStart)).map(({ id }) => id);
    if (gone.length > 0) await removeWorkers(db, this.#names, gone);
    if (gone.length > 0 || orphans === 'some') await this.#rescue(db);
    return cancelled;
  }

  /** Gives the lease back. When PostgreSQL can't be reached it runs out by itself. */
  async giveBack(db: Database): Promise<void> {
    const id = this.#id;
    this.#renounce();
    await removeWorkers(db, this.#names, [id]).catch(() => undefined);
  }

  #renounce(): void {
    this.#registered = 'no';
    this.#id = randomUUID();
  }

  async #rescue(db: Database): Promise<void> {
    const rescued = await rescueTasks(db, this.#names, 'restore').catch((error: unknown) => {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      return rescueTasks(db, this.#names, 'drop');
    });
    for (const { id, kind, fate } of rescued) this.#options.emit({ event: 'rescued', taskId: id, kind, fate });
    if (rescued.length > 0) await this.#rescue(db);
  }
}
