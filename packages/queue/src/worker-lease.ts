import { randomUUID } from 'node:crypto';
import { sqlState } from './connection-errors.ts';
import { isGone, proveThisProcess } from './host.ts';
import { beat, forgetWorkers, markGone, registerWorker } from './statements/beat.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';
import { type Rescued, rescueTasks } from './statements/rescue.ts';

export interface WorkerLeaseOptions {
  names: Names;
  leaseSeconds: number;
  /** This process was given up: what it runs belongs to others now. Called before it takes a new lease, under which it may get the same tasks again. */
  onLost: () => void;
  /** Ids of the tasks that this process runs. */
  running: () => readonly string[];
  /** A task of a worker that is gone was taken back. */
  onRescued: (task: Rescued) => void;
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
    const { lease, cancelled, neighbours, gone } = await beat(db, this.#names, {
      workerId: this.#id,
      host: this.#proof?.host ?? null,
      leaseSeconds: this.#options.leaseSeconds,
      running: this.#options.running(),
    });
    if (lease === 'lost') {
      this.#renounce();
      this.#options.onLost();
      await this.take(db);
    }
    const proven = neighbours.filter(({ pid, processStart }) => isGone(pid, processStart)).map(({ id }) => id);
    if (proven.length > 0) await markGone(db, this.#names, proven);
    if (proven.length > 0 || gone === 'some') {
      await this.#rescue(db);
      await forgetWorkers(db, this.#names, this.#options.leaseSeconds);
    }
    return cancelled;
  }

  /** Gives the lease back. When PostgreSQL can't be reached it runs out by itself. */
  async giveBack(db: Database): Promise<void> {
    const id = this.#id;
    this.#renounce();
    // What it still holds (a handler outlasted the grace and could not be given back) is rescued by the others.
    await markGone(db, this.#names, [id]).catch(() => undefined);
    await forgetWorkers(db, this.#names, 0).catch(() => undefined);
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
    for (const task of rescued) this.#options.onRescued(task);
    if (rescued.length > 0) await this.#rescue(db);
  }
}
