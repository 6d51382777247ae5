import { SlipwayError, nearest } from '@slipway/app';
import type { ApiEnvironment, ApiWhy } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import { environmentTable, rolloutColumns, rolloutTable, type RolloutRow } from '../database/records.ts';
import { row, rows } from '../database/sql.ts';
import { viewEnvironments } from '../environments/view.ts';
import { whyQueue } from './why-queue.ts';
import { eventColumns, eventTable, type EventRow } from './changes.ts';

const timelineLength = 60;

type Entry = ApiWhy['timeline'][number];

/**
 * One timeline for any thing: what happened to it, what is awaited since when, and what would unblock it.
 *
 * @param thing `APP`, `APP/ENVIRONMENT` (or `APP/BRANCH`), `APP/ENVIRONMENT/WORKER` (and the id of a task), a commit (at least 4 hex digits), or a rollout's number.
 * @throws {SlipwayError} `not-found` with the nearest names.
 */
export async function why(context: Context, thing: string): Promise<ApiWhy> {
  const slash = thing.indexOf('/');
  const queue = await whyQueue(context, thing);
  if (queue) return queue;
  if (slash > 0) return await whyEnvironment(context, thing.slice(0, slash), thing.slice(slash + 1));
  const rollout = /^(?:rollout )?(\d{1,15})$/.exec(thing)?.[1];
  if (rollout !== undefined) return await whyRollout(context, rollout, thing);
  const apps = await rows<{ id: string; name: string }>(context.pool, `select id, name from app`);
  const app = apps.find(({ name }) => name === thing);
  if (app) return await whyApp(context, app);
  if (/^[0-9a-f]{4,40}$/.test(thing)) return await whyCommit(context, thing);
  throw notFound(
    thing,
    apps.map(({ name }) => name),
  );
}

async function whyEnvironment(context: Context, app: string, name: string): Promise<ApiWhy> {
  const environments = await viewEnvironments(context, { app });
  const environment =
    environments.find((one) => one.environment === name) ?? environments.find((one) => one.branch === name);
  const removed = environment ? null : await whyRemoved(context, app, name);
  if (removed) return removed;
  if (!environment)
    throw notFound(
      `${app}/${name}`,
      (await viewEnvironments(context, {})).map((one) => `${one.app}/${one.environment}`),
    );
  const events = await newestEvents(
    context,
    `app.name = $1 and environment.name = $2 and environment.removal <> 'removed'
     or event.sha in (select rollout.sha from ${rolloutTable} where app.name = $1 and environment.name = $2
       order by rollout.id desc limit 3) and event.environment_id is null and app.name = $1`,
    [app, environment.environment],
  );
  return {
    subject: `environment ${app}/${environment.environment}`,
    summary: sentence(environment),
    timeline: [...events, ...(await awaitedBy(context, environment))],
  };
}

/** The story of an environment that is gone, the newest of that name (or branch); null when there never was one. */
async function whyRemoved(context: Context, app: string, name: string): Promise<ApiWhy | null> {
  const gone = await row<{ id: string; name: string; removedAt: Date }>(
    context.pool,
    `select environment.id, environment.name, environment.removed_at as "removedAt" from ${environmentTable}
     where app.name = $1 and (environment.name = $2 or environment.branch = $2) and environment.removal = 'removed'
     order by environment.id desc limit 1`,
    [app, name],
  );
  if (!gone) return null;
  return {
    subject: `environment ${app}/${gone.name}`,
    summary: `${gone.name} was removed at ${gone.removedAt.toISOString()}.`,
    timeline: await newestEvents(context, `event.environment_id = $1`, [gone.id]),
  };
}

async function whyApp(context: Context, app: { id: string; name: string }): Promise<ApiWhy> {
  const environments = await viewEnvironments(context, { app: app.name });
  const events = await newestEvents(context, `event.app_id = $1`, [app.id]);
  return {
    subject: `app ${app.name}`,
    summary: environments.length === 0 ? 'It has no environment.' : environments.map((one) => sentence(one)).join(' '),
    timeline: [
      ...events,
      ...(await Promise.all(environments.map((environment) => awaitedBy(context, environment)))).flat(),
    ],
  };
}

async function whyCommit(context: Context, abbreviated: string): Promise<ApiWhy> {
  const commits = await rows<{
    appId: string;
    app: string;
    sha: string;
    state: string;
    reason: string | null;
    subject: string;
  }>(
    context.pool,
    `select app.id as "appId", app.name as app, commit.sha, commit.state, commit.reason, commit.subject
     from commit join app on app.id = commit.app_id where commit.sha like $1 || '%' order by commit.pushed_at desc limit 2`,
    [abbreviated],
  );
  const [commit, another] = commits;
  if (!commit) throw notFound(abbreviated, []);
  if (another && another.sha !== commit.sha)
    throw new SlipwayError('mistake', `${abbreviated} means more than one commit.`, { hint: 'Give more digits.' });
  const rollouts = await rows<RolloutRow>(
    context.pool,
    `select ${rolloutColumns} from ${rolloutTable} where rollout.app_id = $1 and rollout.sha = $2 order by rollout.id`,
    [commit.appId, commit.sha],
  );
  const events = await newestEvents(context, `event.app_id = $1 and event.sha = $2`, [commit.appId, commit.sha]);
  return {
    subject: `commit ${commit.sha.slice(0, 8)} "${commit.subject}" of ${commit.app}`,
    summary: [
      {
        received: 'It is recorded.',
        preparing: 'It is being built.',
        checking: 'Its checks run.',
        passed: 'Its checks passed.',
        failed: `It can not be released: ${commit.reason}.`,
      }[commit.state],
      ...rollouts.map(
        (one) => `${one.environment}: rollout ${one.id} ${one.state}${one.reason === null ? '' : ` (${one.reason})`}.`,
      ),
    ].join(' '),
    timeline: [...events, ...rollouts.flatMap((one) => awaitedByRollout(one))],
  };
}

async function whyRollout(context: Context, id: string, thing: string): Promise<ApiWhy> {
  const rollout = await row<RolloutRow>(
    context.pool,
    `select ${rolloutColumns} from ${rolloutTable} where rollout.id = $1`,
    [id],
  );
  if (!rollout) throw notFound(thing, []);
  const events = await newestEvents(
    context,
    `event.rollout_id = $1 or event.app_id = $2 and event.sha = $3 and event.environment_id is null`,
    [id, rollout.appId, rollout.sha],
  );
  return {
    subject: `rollout ${id} of ${rollout.app}/${rollout.environment}`,
    summary: `It ${rollout.state === 'waiting' || rollout.state === 'running' ? rollout.step : rollout.state}${rollout.reason === null ? '' : `: ${rollout.reason}`}.`,
    timeline: [...events, ...awaitedByRollout(rollout)],
  };
}

async function newestEvents(context: Context, where: string, values: unknown[]): Promise<Entry[]> {
  const events = await rows<EventRow>(
    context.pool,
    `select ${eventColumns} from ${eventTable} where ${where} order by event.id desc limit ${timelineLength}`,
    values,
  );
  return events.toReversed().map((event) => ({
    at: event.at.toISOString(),
    kind: 'happened',
    message: event.message,
    unblock: null,
  }));
}

/** What an environment waits for now, and since when. */
async function awaitedBy(context: Context, environment: ApiEnvironment): Promise<Entry[]> {
  const name = `${environment.app}/${environment.environment}`;
  const since = await newestEventTimes(context, environment);
  const entries: Entry[] = [];
  const awaited = (kinds: string[], message: string, unblock: string | null): void => {
    const at = kinds.map((kind) => since.get(kind)).find((time) => time !== undefined);
    entries.push({ at: at ?? environment.updatedAt, kind: 'awaited', message, unblock });
  };
  const { rollout } = environment;
  if (rollout && (rollout.state === 'waiting' || rollout.state === 'running'))
    awaited(
      rollout.approval === 'required' ? ['rollout.waiting', 'rollout.created'] : ['rollout.created'],
      `Rollout ${rollout.id} of ${rollout.commit.slice(0, 8)} ${rollout.step}.`,
      unblockOf(rollout),
    );
  else if (environment.state === 'failing')
    awaited(
      rollout?.state === 'failed' ? ['rollout.failed'] : ['instance.failing', 'commit.invalid'],
      `It fails: ${firstLine(environment.reason)}.`,
      `Push a fix, or go back: slipway rollback ${name}. Its output: slipway logs ${name}`,
    );
  if (environment.heldSince !== null)
    awaited(
      ['environment.held'],
      `Automatic deploys wait for a commit newer than ${environment.heldSince.slice(0, 8)}, because of a rollback.`,
      `Push a newer commit, or: slipway deploy ${name} --commit SHA`,
    );
  if (environment.state === 'asleep' && environment.release)
    awaited(
      ['environment.asleep'],
      'It sleeps until the next request.',
      environment.url === null ? null : `Open ${environment.url}`,
    );
  const site = context.engines.named(environment.engine);
  if (site?.fleet.goneSince != null)
    entries.push({
      at: site.fleet.goneSince.toISOString(),
      kind: 'awaited',
      message: `The engine ${site.engine.name} does not answer; it is asked again until it does.`,
      unblock:
        site === context.engines.machine
          ? 'slipway up starts the agent again; its log says why it ended.'
          : `See that the cluster can be reached, and its credentials hold: slipway cluster list`,
    });
  return entries;
}

async function newestEventTimes(context: Context, environment: ApiEnvironment): Promise<Map<string, string>> {
  const found = await rows<{ kind: string; at: Date }>(
    context.pool,
    `select event.kind, max(event.at) as at from ${eventTable}
     where app.name = $1 and environment.name = $2 and environment.removal <> 'removed' group by event.kind`,
    [environment.app, environment.environment],
  );
  return new Map(found.map(({ kind, at }) => [kind, at.toISOString()]));
}

/** A reason's sentence, without the output that follows it and without its full stop. */
function firstLine(reason: string | null): string {
  return (reason ?? '').split('\n')[0]?.replace(/\.$/, '') ?? '';
}

function awaitedByRollout(rollout: RolloutRow): Entry[] {
  if (rollout.state !== 'waiting' && rollout.state !== 'running') return [];
  return [
    {
      at: rollout.createdAt.toISOString(),
      kind: 'awaited',
      message: `${rollout.environment}: it ${rollout.step}.`,
      unblock: unblockOf(rollout),
    },
  ];
}

function unblockOf(rollout: {
  id: string;
  state: string;
  step: string;
  approval: string;
  app: string;
  environment: string;
}): string | null {
  if (rollout.approval === 'required' && rollout.step === 'waits for approval')
    return `An admin approves it: slipway approve ${rollout.id}`;
  if (rollout.step.startsWith('waits for')) return 'It goes on by itself when that has passed.';
  return `It goes on by itself; its output: slipway logs ${rollout.app}/${rollout.environment} -f`;
}

function sentence(environment: ApiEnvironment): string {
  const release = environment.release
    ? ` with release ${environment.release.number} (${environment.release.commit.slice(0, 8)})`
    : '';
  const reason = environment.reason === null ? '' : `: ${firstLine(environment.reason)}`;
  return `${environment.environment} is ${environment.state}${release}${reason}.`;
}

function notFound(thing: string, candidates: string[]): SlipwayError {
  const near = nearest(thing, candidates);
  return new SlipwayError('not-found', `Nothing here is called ${thing}.`, {
    hint:
      near === null
        ? 'Name APP, APP/ENVIRONMENT, a commit or a rollout; slipway status lists them.'
        : `Did you mean ${near}?`,
  });
}
