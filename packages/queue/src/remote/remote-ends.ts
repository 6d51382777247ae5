import type { Usage } from '../attempt.ts';
import type { Settled } from '../finisher.ts';
import type { Outcome } from '../outcome.ts';
import type { Settlement } from '../running-task.ts';
import type { Claimed } from '../statements/claimed.ts';
import type { Held } from '../statements/finish.ts';
import { readTaken } from '../statements/gone-worker.ts';
import type { Database, Names } from '../statements/names.ts';
import { readHeld } from '../statements/scoped.ts';

/** How an attempt ended that ran elsewhere. */
export interface RemoteEnd extends Held {
  outcome: Outcome;
  usage: Usage | null;
  busySeconds: number;
  /** `repeated`: it was sent before, and the answer got lost. */
  certainty: 'first' | 'repeated';
}

export interface RemoteSettled {
  id: string;
  verdict: 'done' | 'late' | 'unknown';
  error?: string;
}

export interface RemoteEndsOptions {
  db: Database;
  names: Names;
  settle: (task: Claimed, outcome: Outcome) => Promise<Settled>;
  onSettled: (settlement: Settlement) => void;
}

/**
 * Writes ends that workers over HTTP tell, whatever kind they are of, once: what is told again after an answer got lost is answered with
 * what became of it the first time.
 *
 * | the lease                             | told for the first time | told again |
 * | --- | --- | --- |
 * | is held                               | it is written           | it is written: the first one did not arrive |
 * | is not held, was never taken back     | late                    | done: nothing else than its own end ends a lease |
 * | was taken back from a worker given up | late                    | late |
 * | of a worker that is gone for a day    | late                    | unknown: what was taken from it is forgotten |
 *
 * Two copies of one end may also meet, when the worker lost patience with the first: one of them is written, and counts.
 */
export class RemoteEnds {
  readonly #options: RemoteEndsOptions;

  constructor(options: RemoteEndsOptions) {
    this.#options = options;
  }

  async settle(worker: { id: string; scope: string }, ends: readonly RemoteEnd[]): Promise<RemoteSettled[]> {
    const { db, names } = this.#options;
    const ids = ends.map(({ id }) => id);
    const held = new Map((await readHeld(db, names, worker, ids)).map((task) => [task.id, task]));
    const written = await Promise.all(ends.map((end) => this.#write(held.get(end.id), end)));
    const missed = written.filter(({ fate }) => fate === 'to ask').map(({ end }) => end);
    // Later than the look for the lease: what ended it before is known by now.
    const taken = missed.length === 0 ? null : await readTaken(db, names, worker.id, missed);
    return written.map(({ end, task, settled, fate }) => {
      if (fate === 'known') return { id: end.id, ...settled };
      const told = fateOf(end, taken);
      if (task !== null && told.verdict !== 'done') this.#tell(task, end, told);
      return { id: end.id, ...told };
    });
  }

  async #write(held: Claimed | undefined, end: RemoteEnd): Promise<Written> {
    const late = { verdict: 'late' } as const;
    if (held === undefined || held.lease !== end.lease) {
      return { end, task: null, settled: late, fate: end.certainty === 'first' ? 'known' : 'to ask' };
    }
    const settled = await this.#options.settle(held, end.outcome);
    // It was held a moment ago: either another copy of this end was faster, or the worker was given up.
    if (settled.verdict === 'late') return { end, task: held, settled, fate: 'to ask' };
    this.#tell(held, end, settled);
    return { end, task: held, settled, fate: 'known' };
  }

  #tell(task: Claimed, { outcome, usage, busySeconds }: RemoteEnd, settled: Settled): void {
    this.#options.onSettled({ ...settled, task, outcome, usage, busySeconds });
  }
}

interface Written {
  end: RemoteEnd;
  /** Null: the worker did not hold it. */
  task: Claimed | null;
  settled: Settled;
  /** `to ask`: it was not written now, and may have been before. */
  fate: 'known' | 'to ask';
}

function fateOf({ id }: RemoteEnd, taken: ReadonlySet<string> | null): Settled {
  if (taken !== null) return { verdict: taken.has(id) ? 'late' : 'done' };
  return {
    verdict: 'unknown',
    error:
      'its worker was given up more than a day ago, so it is not known any more whether this end was written before; ' +
      'if it was not, the task went to another worker then, and there is nothing to do',
  };
}
