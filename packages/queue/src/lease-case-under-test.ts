import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { type LeaseAction, type LeasedTask, moveTask } from './lease-machine.ts';
import { finishBundled, takeBack, takeBackStrayBundles, takeOut } from './statements/bundle.ts';
import { buryTask } from './statements/bury.ts';
import { cancelTask } from './statements/cancel.ts';
import { claimBundle, claimFromLines, type LineWanted } from './statements/claim-line.ts';
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
    bundle: null,
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
  const waiting: LeasedTask = { ...before, place: 'ready', holder: null, attempts: 0 };
  const bundled: LeasedTask = { ...waiting, bundle: { id: 1, worker: 'holder' } };
  return [
    ...releases,
    { before: bundled, action: { do: 'claim', worker: 'other' } },
    { before: bundled, action: { do: 'claim in bundle', worker: 'other', bundle: 2 } },
    ...[{ attempts: 1 }, { cancel: 'wanted' } as const, {}].map((what) => ({
      before: { ...waiting, ...what },
      action: { do: 'claim in bundle', worker: 'other', bundle: 2 } as const,
    })),
    // With a bundle goes one lease of the task, which is in no other.
    ...[
      { bundle: 1, lease: 6 },
      { bundle: 2, lease: 5 },
      { bundle: 2, lease: 4 },
    ].flatMap((said) => [
      { before: bundled, action: { do: 'finish bundled', ...said } as const },
      { before: bundled, action: { do: 'take out', ...said } as const },
    ]),
    { before: bundled, action: { do: 'rescue bundle', gone: ['holder'] } },
    { before: bundled, action: { do: 'rescue bundle', gone: ['other'] } },
    { before: bundled, action: { do: 'take back', bundle: 2 } },
    { before: bundled, action: { do: 'take back stray', worker: 'other' } },
    { before: bundled, action: { do: 'cancel' } },
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
    const gone = 'gone' in this.#action ? this.#action.gone : [];
    await db.query(
      `insert into ${names.worker} (id, gone_at) values ($1, case when $3 then clock_timestamp() end), ($2, case when $4 then clock_timestamp() end)`,
      [this.#holder, this.#other, gone.includes('holder'), gone.includes('other')],
    );
    await this.#prepareBundles(db, names);
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

  /** The one it is leased with, and the one that is spoken of: a cancel may have taken it out of it. */
  async #prepareBundles(db: Database, names: Names): Promise<void> {
    const { bundle, lease, lane } = this.#before;
    const insert = `insert into ${names.bundle} (id, worker_id, kind, lane, task_ids) overriding system value values ($1, $2, $3, $4, $5)`;
    const line = [`case-${this.#id}`, lane];
    if (bundle !== null) await db.query(insert, [this.#bundle(1), this.#holder, ...line, [this.#id]]);
    if (!('bundle' in this.#action) || this.#action.bundle === 1 || this.#action.do === 'claim in bundle') return;
    const under = 'lease' in this.#action && this.#action.lease === lease ? this.#holder : this.#other;
    await db.query(insert, [this.#bundle(2), under, ...line, []]);
  }

  async act(db: Database, names: Names): Promise<void> {
    const action = this.#action;
    if ('bundle' in action) return this.#actOnBundle(db, names, action);
    const held = 'lease' in action ? { id: String(this.#id), lease: String(action.lease) } : { id: '', lease: '' };
    const entry = { attempt: 1, lane: 'normal', at: '', cause: 'error', message: '' } as const;
    switch (action.do) {
      case 'claim':
        await claimFromLines(db, names, this.#worker(action.worker), [this.#line]);
        return;
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
      case 'take back stray':
        return takeBackStrayBundles(db, names, { id: this.#worker(action.worker), known: [] });
      case 'promote':
      case 'rescue':
      case 'rescue bundle':
      case 'unblock':
        return;
    }
  }

  async #actOnBundle(db: Database, names: Names, action: Extract<LeaseAction, { bundle: number }>): Promise<void> {
    const bundle = this.#bundle(action.bundle);
    if (action.do === 'claim in bundle') {
      await claimBundle(db, names, this.#worker(action.worker), this.#line);
      return;
    }
    const id = String(this.#id);
    if (action.do === 'take back') return takeBack(db, names, bundle, [id]);
    const said = { id, lease: String(action.lease), worker: this.#holder, bundle };
    if (action.do === 'take out') return takeOut(db, names, [said]);
    await finishBundled(db, names, [said], [], 'first');
  }

  /** What is to be found, in the columns that the machine knows. */
  expected(): Record<string, unknown> {
    const after = moveTask(this.#before, this.#action) ?? this.#before;
    const { place, holder, bundle, ...rest } = after;
    if (place === 'done' || place === 'cancelled') return { place: 'none' };
    // Where nobody holds it, nobody is to be found.
    const idOf = (name: string | undefined): string | null => (name === undefined ? null : this.#worker(name));
    return { ...rest, place, holder: idOf(holder ?? undefined), bundledTo: idOf(bundle?.worker) };
  }

  async found(db: Database, names: Names): Promise<Record<string, unknown>> {
    const columns = `lane, lease::int, attempts, failures, ooms, timeouts, crashes, losses, interruptions, losses_allowed as "lossesAllowed"`;
    const { rows } = await db.query(
      `select state as place, worker_id as holder, case when cancelled then 'wanted' else 'no' end as cancel, ${columns},
         (select bundle.worker_id from ${names.bundle} as bundle where $1 = any(task_ids)) as "bundledTo" from ${names.task} where id = $1
       union all select 'dead', null, 'no', ${columns}, null from ${names.dead} where id = $1`,
      [this.#id],
    );
    expect(rows.length, 'a task is in one place').toBeLessThan(2);
    return rows[0] ?? { place: 'none' };
  }

  get #line(): LineWanted {
    const { lane } = this.#before;
    return { kind: `case-${this.#id}`, lane, limit: 1, priority: 0, position: 0, upToPriority: 0, oldestBundle: 0 };
  }

  #bundle(number: number): string {
    return String(this.#id * 10 + number);
  }

  #worker(name: string): string {
    return name === 'holder' ? this.#holder : this.#other;
  }
}
