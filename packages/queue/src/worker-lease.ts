import { randomUUID } from 'node:crypto';
import { sqlState } from './connection-errors.ts';
import { isGone, proveThisProcess } from './host.ts';
import { restoringName } from './restore-name.ts';
import { beat, forgetWorkers, markGone, registerWorker } from './statements/beat.ts';
import { rescueBundles, takeBackStrayBundles } from './statements/bundle.ts';
import { type Database, type Names, UNIQUE_VIOLATION } from './statements/names.ts';
import { type Rescued, rescueTasks } from './statements/rescue.ts';
import { unclaimStrays } from './statements/unclaim.ts';

export interface WorkerLeaseOptions {
  names: Names;
  leaseSeconds: number;
  /** This process was given up: what it runs belongs to others now. Called before it takes a new lease, under which it may get the same tasks again. */
  onLost: () => void;
  /** Ids of the tasks that are known to be leased to this process, begun or not. */
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
  #claims = 0;
  /** Until when (milliseconds, monotonic) a claim may still be carried out whose answer nobody waits for any more; null: no claim is in doubt. */
  #doubtUntil: number | null = null;
  /** What was known when the doubt was over: the end of an earlier attempt that is still being written may hide a stray of the same task. */
  #suspects: Set<string> | null = null;

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
    const { leaseSeconds } = this.#options;
    await registerWorker(db, this.#names, { id: this.#id, leaseSeconds, proof: this.#proof });
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
      await rescueBundles(db, this.#names);
      await this.#rescue(db);
      await forgetWorkers(db, this.#names);
    }
    // What a claim under way has got is not known yet.
    if (this.#claims === 0) await this.#takeBackStrays(db);
    return cancelled;
  }

  /**
   * Runs a claim under this lease. When it fails, some of it may have been carried out, or may still be: PostgreSQL committed and the answer got lost.
   * Nobody here would know of those tasks, and nobody else may have them while this process lives. So for a lease from then on, which no claim
   * outlasts, heartbeats and claims give back what is leased to this process and unknown to it.
   *
   * One at a time, and what it got must be among the running ones before the next.
   *
   * @returns Nothing when the lease was lost meanwhile: what was claimed under it is rescued like the rest.
   */
  async claim<T>(db: Database, claim: (workerId: string) => Promise<T[]>): Promise<T[]> {
    await this.#takeBackStrays(db);
    const id = this.#id;
    this.#claims += 1;
    try {
      const claimed = await claim(id);
      return id === this.#id ? claimed : [];
    } catch (error) {
      this.doubt();
      throw error;
    } finally {
      // Not at once: the caller is about to make them known.
      setImmediate(() => (this.#claims -= 1));
    }
  }

  /** A task may be leased to this process that nobody here works on. For a lease from now on heartbeats and claims give such tasks back. */
  doubt(): void {
    this.#doubtUntil = performance.now() + this.#options.leaseSeconds * 1_000;
    this.#suspects = null;
  }

  /** Gives the lease back. When PostgreSQL can't be reached it runs out by itself. */
  async giveBack(db: Database): Promise<void> {
    const id = this.#id;
    this.#renounce();
    // What it still holds (a handler outlasted the grace and could not be given back) is rescued by the others.
    await markGone(db, this.#names, [id]).catch(() => undefined);
    await forgetWorkers(db, this.#names, this.#doubtUntil === null ? id : null).catch(() => undefined);
    this.#doubtUntil = null;
  }

  #renounce(): void {
    this.#registered = 'no';
    this.#id = randomUUID();
  }

  async #takeBackStrays(db: Database): Promise<void> {
    if (this.#doubtUntil === null) return;
    const over = performance.now() > this.#doubtUntil;
    const own = { id: this.#id, known: this.#options.running() };
    try {
      // Statements run in the order of the calls: what a claim gets that begins from here on is not looked at.
      await Promise.all([takeBackStrayBundles(db, this.#names, own), unclaimStrays(db, this.#names, own)]);
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      return; // a successor came that moment; the next heartbeat sees it
    }
    if (!over) return;
    const known = new Set(own.known);
    this.#suspects = new Set([...(this.#suspects ?? known)].filter((id) => known.has(id)));
    if (this.#suspects.size > 0) return;
    this.#doubtUntil = null;
    this.#suspects = null;
  }

  async #rescue(db: Database): Promise<void> {
    const rescued = await restoringName((name) => rescueTasks(db, this.#names, name));
    for (const task of rescued) this.#options.onRescued(task);
    if (rescued.length > 0) await this.#rescue(db);
  }
}
