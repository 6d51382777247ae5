import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { type LeaseAction, type LeasedTask, moveTask } from './lease-machine.ts';
import { buryTask } from './statements/bury.ts';
import { cancelTask } from './statements/cancel.ts';
import { claimFromLines } from './statements/claim-line.ts';
import { redriveTask } from './statements/dead.ts';
import { finishTasks } from './statements/finish.ts';
import { type Database, type Names } from './statements/names.ts';
import { releaseTask } from './statements/release.ts';
import { unclaimStrays, unclaimTasks } from './statements/unclaim.ts';

/** What the world has no reason for: other causes, counters that are not zero, an unlimited number of losses. */
export function extraMoves(): { before: LeasedTask; action: LeaseAction }[] {
  const before: LeasedTask = {
    place: 'running',
    lane: 'fallback',
    lease: 5,
    holder: 'holder',
    cancel: 'no',
    attempts: 9,
    failures: 1,
    ooms: 2,
    timeouts: 3,
    crashes: 4,
    losses: 5,
    interruptions: 6,
    lossesAllowed: 10,
  };
  const releases = ([null, 'error', 'oom', 'timeout', 'crash', 'interrupted'] as const).flatMap((counts) =>
    ([4, 5] as const).map((lease) => ({
      before,
      action: { do: 'release', lease, counts, lane: 'fallback', due: 'at once' } as const,
    })),
  );
  return [
    ...releases,
    { before, action: { do: 'bury', lease: 5 } },
    { before, action: { do: 'rescue', gone: ['holder'] } },
    { before: { ...before, crashes: 3 }, action: { do: 'rescue', gone: ['holder'] } },
    { before: { ...before, place: 'dead', holder: null }, action: { do: 'redrive' } },
  ];
}

/** One task in one state, what is done to it, and what came of it. */
export class Case {
  readonly #id: number;
  readonly #before: LeasedTask;
  readonly #action: LeaseAction;
  readonly #holder = randomUUID();
  readonly #other = randomUUID();

  constructor(number: number, { before, action }: { before: LeasedTask; action: LeaseAction }) {
    this.#id = 1_000_000 + number;
    this.#before = before;
    this.#action = action;
  }

  get name(): string {
    return `${JSON.stringify(this.#action)} on ${JSON.stringify(this.#before)}`;
  }

  async prepare(db: Database, names: Names): Promise<void> {
    const { place, lane, lease, holder, cancel, lossesAllowed } = this.#before;
    const gone = this.#action.do === 'rescue' ? this.#action.gone : [];
    await db.query(
      `insert into ${names.worker} (id, gone_at) values ($1, case when $3 then clock_timestamp() end), ($2, case when $4 then clock_timestamp() end)`,
      [this.#holder, this.#other, gone.includes('holder'), gone.includes('other')],
    );
    if (place === 'done' || place === 'cancelled') return;
    const { attempts, failures, ooms, timeouts, crashes, losses, interruptions } = this.#before;
    const shared = [this.#id, `case-${this.#id}`, lane, lease, lossesAllowed];
    const counted = [attempts, failures, ooms, timeouts, crashes, losses, interruptions];
    const columns =
      'id, kind, lane, lease, losses_allowed, attempts, failures, ooms, timeouts, crashes, losses, interruptions';
    if (place === 'dead') {
      await db.query(
        `insert into ${names.dead} (${columns}, payload, priority, history, created_at, cause, error)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '1', 0, '[]', now(), 'lost', '')`,
        [...shared, ...counted],
      );
      return;
    }
    // What waits for its time is not due, unless it is to be promoted.
    const due = this.#action.do === 'promote' ? '-1 hour' : '1 hour';
    await db.query(
      `insert into ${names.task} (${columns}, payload, state, run_at, worker_id, cancelled)
       overriding system value
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '1', $13, now() + $14::interval, $15, $16)`,
      [...shared, ...counted, place, due, holder === null ? null : this.#holder, cancel === 'wanted'],
    );
  }

  async act(db: Database, names: Names): Promise<void> {
    const action = this.#action;
    const held = 'lease' in action ? { id: String(this.#id), lease: String(action.lease) } : { id: '', lease: '' };
    const entry = { attempt: 1, lane: 'normal', at: '', cause: 'error', message: '' } as const;
    switch (action.do) {
      case 'claim': {
        const line = { kind: `case-${this.#id}`, lane: this.#before.lane, limit: 1 };
        await claimFromLines(db, names, this.#worker(action.worker), [
          { ...line, priority: 0, position: 0, upToPriority: 0, oldestBundle: 0 },
        ]);
        return;
      }
      case 'finish':
        await finishTasks(
          db,
          names,
          [{ ...held, worker: this.#holder, result: null, output: null, effects: 'none' }],
          'first',
        );
        return;
      case 'release': {
        const { counts, lane, due } = action;
        const seconds = due === 'later' ? 3600 : 0;
        await releaseTask(db, names, held, { seconds, counts, lane, history: entry, name: 'restore' });
        return;
      }
      case 'bury':
        await buryTask(db, names, held, { cause: 'discarded', entry });
        return;
      case 'unclaim':
        return unclaimTasks(db, names, [held], 'restore');
      case 'unclaim stray':
        return unclaimStrays(db, names, { id: this.#worker(action.worker), known: [] });
      case 'cancel':
        await cancelTask(db, names, String(this.#id));
        return;
      case 'redrive':
        await redriveTask(db, names, String(this.#id));
        return;
      case 'promote':
      case 'rescue':
      case 'unblock':
        return;
    }
  }

  /** What is to be found, in the columns that the machine knows. */
  expected(): Record<string, unknown> {
    const after = moveTask(this.#before, this.#action) ?? this.#before;
    const { place, holder, ...rest } = after;
    if (place === 'done' || place === 'cancelled') return { place: 'none' };
    // Where nobody holds it, nobody is to be found.
    return { ...rest, place, holder: holder === null ? null : this.#worker(holder) };
  }

  async found(db: Database, names: Names): Promise<Record<string, unknown>> {
    const columns = `lane, lease::int, attempts, failures, ooms, timeouts, crashes, losses, interruptions, losses_allowed as "lossesAllowed"`;
    const { rows } = await db.query(
      `select state as place, worker_id as holder, case when cancelled then 'wanted' else 'no' end as cancel, ${columns} from ${names.task} where id = $1
       union all select 'dead', null, 'no', ${columns} from ${names.dead} where id = $1`,
      [this.#id],
    );
    expect(rows.length, 'a task is in one place').toBeLessThan(2);
    return rows[0] ?? { place: 'none' };
  }

  #worker(name: string): string {
    return name === 'holder' ? this.#holder : this.#other;
  }
}
