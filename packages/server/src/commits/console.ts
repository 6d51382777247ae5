import type { Context } from '../context.ts';
import { rolloutColumns, rolloutTable, type RolloutRow } from '../database/records.ts';
import { row, rows } from '../database/sql.ts';
import { eventColumns, eventTable, type EventRow } from '../events/changes.ts';
import { viewEnvironments } from '../environments/view.ts';
import type { BranchChange } from '@slipway/forge';

/** Where the lines for the person who pushed go. `signal` aborts when that person has gone. */
export interface Console {
  line(text: string): void;
  signal: AbortSignal;
}

const told = new Set([
  'commit.invalid',
  'commit.waiting',
  'pull-request.opened',
  'pull-request.closed',
  'environment.removal-waits',
  'environment.removed',
  'build.passed',
  'build.failed',
  'check.passed',
  'check.failed',
  'job.passed',
  'job.failed',
  'release.created',
  'rollout.waiting',
  'rollout.succeeded',
  'rollout.failed',
  'rollout.superseded',
  'rollout.cancelled',
]);

/**
 * Tells the person who pushed what happens to each pushed commit, until its rollouts have ended or wait for a person, or that person
 * has gone. The work does not depend on anybody listening.
 *
 * @param since id of the newest event before the push was recorded.
 */
export async function narrate(
  context: Context,
  app: string,
  changes: readonly BranchChange[],
  console: Console,
  since: number,
): Promise<void> {
  const appRow = await row<{ id: string }>(context.pool, `select id from app where name = $1`, [app]);
  if (!appRow) return;
  const shas = [...new Set(changes.map(({ after }) => after).filter((sha) => sha !== null))];
  const deleted = changes.filter(({ after }) => after === null).map(({ branch }) => branch);
  const already = new Set<number>();
  const wake = new Wake(context, app);
  try {
    while (!console.signal.aborted) {
      wake.reset();
      // First what is still open, then the events: what ended before has told its event by then.
      const [open, removing] = await Promise.all([
        rows<RolloutRow>(
          context.pool,
          `select ${rolloutColumns} from ${rolloutTable}
           where rollout.app_id = $1 and rollout.sha = any($2) and rollout.state in ('waiting', 'running')`,
          [appRow.id, shas],
        ),
        rows<{ id: string }>(
          context.pool,
          `select id from environment where app_id = $1 and removal = 'removing' and branch = any($2)`,
          [appRow.id, deleted],
        ),
      ]);
      const events = await rows<EventRow>(
        context.pool,
        `select ${eventColumns} from ${eventTable}
         where event.app_id = $1 and event.id > $2 and (event.sha = any($3) or environment.branch = any($4))
         order by event.id`,
        [appRow.id, since, shas, deleted],
      );
      for (const event of events) {
        if (already.has(event.id)) continue;
        already.add(event.id);
        if (!told.has(event.kind)) continue;
        for (const text of await sentences(context, event)) console.line(text);
      }
      const isSettled = open.every(({ phase, approval }) => phase === 'approval' && approval === 'required');
      if (isSettled && removing.length === 0) return;
      await wake.wait(console.signal);
    }
  } finally {
    wake.stop();
  }
}

async function sentences(context: Context, event: EventRow): Promise<string[]> {
  const name = event.environment ?? '';
  const seconds = typeof event.data['seconds'] === 'number' ? ` ${event.data['seconds'].toFixed(1)}s` : '';
  const lines = Array.isArray(event.data['lastLines'])
    ? event.data['lastLines'].map((line) => `  | ${String(line)}`)
    : [];
  switch (event.kind) {
    case 'check.passed':
      return [`check ${String(event.data['check'])} ... passed${seconds}`];
    case 'check.failed':
      return [`check ${String(event.data['check'])} ... failed${seconds}`, ...lines, event.message];
    case 'build.passed':
      return [`build ${String(event.data['command'])} ... passed${seconds}`];
    case 'build.failed':
      return [`build ${String(event.data['command'])} ... failed`, ...lines, event.message];
    case 'job.passed':
      return [`${name}: job ${String(event.data['job'])} ... passed${seconds}`];
    case 'job.failed':
      return [`${name}: job ${String(event.data['job'])} ... failed${seconds}`, ...lines];
    case 'release.created':
      return [`${name}: release ${String(event.data['release'])} starts`];
    case 'rollout.succeeded': {
      const [view] =
        event.environmentId === null ? [] : await viewEnvironments(context, { ids: [event.environmentId] });
      return [`${name}: release ${String(event.data['release'])} ready ${view?.url ?? ''}`.trimEnd()];
    }
    case 'rollout.failed':
      return [...lines, ...event.message.split('\n')];
    default:
      return event.message.split('\n');
  }
}

/** Wakes a loop that reads the database when an event of the app came since `reset`. */
class Wake {
  #pending = false;
  #resolve: (() => void) | null = null;
  readonly stop: () => void;

  constructor(context: Pick<Context, 'changes'>, app: string) {
    this.stop = context.changes.onEvent((event) => {
      if (event.app !== app) return;
      this.#pending = true;
      this.#resolve?.();
    });
  }

  reset(): void {
    this.#pending = false;
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#pending || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#resolve = null;
        resolve();
      };
      this.#resolve = done;
      signal.addEventListener('abort', done);
    });
  }
}
