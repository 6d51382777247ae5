import type { TaskView } from '@slipway/queue';
import type { ApiQueue, ApiWhy } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import { rows } from '../database/sql.ts';
import { queueName } from '../workers/queue-name.ts';
import { viewQueue } from '../workers/view.ts';

type Entry = ApiWhy['timeline'][number];

const timelineLength = 60;

/**
 * Why a queue, or one of its tasks, is as it is.
 *
 * @param thing `APP/ENVIRONMENT/WORKER`, or that and the id of a task.
 * @returns null when it names no queue there is.
 */
export async function whyQueue(context: Context, thing: string): Promise<ApiWhy | null> {
  const [app = '', environment = '', worker, task, ...rest] = thing.split('/');
  if (worker === undefined || rest.length > 0) return null;
  const queues = await context.kinds.of(app, environment);
  const view = queues ? await viewQueue(context, queues, worker) : null;
  if (!queues || !view) return null;
  const events = await eventsOf(context, queues.id, worker);
  if (task === undefined)
    return { subject: `queue ${thing}`, summary: summaryOf(view), timeline: [...events, ...awaitedBy(view)] };
  const found = /^\d{1,18}$/.test(task) ? await context.tasks.task(task) : null;
  if (found?.kind !== queueName(queues, worker)) return null;
  return { subject: `task ${task} of ${found.kind}`, summary: summaryOfTask(found), timeline: storyOf(found, view) };
}

async function eventsOf(context: Context, environmentId: string, worker: string): Promise<Entry[]> {
  const found = await rows<{ at: Date; message: string }>(
    context.pool,
    `select at, message from event where environment_id = $1 and data ->> 'worker' = $2 order by id desc limit ${timelineLength}`,
    [environmentId, worker],
  );
  return found.toReversed().map(({ at, message }) => happened(at, message));
}

function summaryOf({ lanes, dead }: ApiQueue): string {
  const each = lanes.map(({ lane, ready, running, slots, reason }) => {
    const number = reason.startsWith(`${slots}: `) ? reason : `${slots}: ${reason}`;
    return `${lane}: ${ready} wait, ${running} run; slots ${number}.`;
  });
  return [...each, ...(dead > 0 ? [`${dead} are dead.`] : [])].join(' ');
}

function awaitedBy(queue: ApiQueue): Entry[] {
  const name = `${queue.environment}/${queue.name}`;
  const entries: Entry[] = [];
  const ready = queue.lanes.reduce((sum, lane) => sum + lane.ready, 0);
  if (ready > 0 && queue.oldestSeconds !== null)
    entries.push({
      at: new Date(Date.now() - queue.oldestSeconds * 1000).toISOString(),
      kind: 'awaited',
      message: `${ready} ready ${ready === 1 ? 'task waits' : 'tasks wait'} for a free slot.`,
      unblock: `They are done in turn; more at once needs a higher maximum of replicas: or a shorter drain:. What they do: slipway queue tail ${name}`,
    });
  if (queue.dead > 0)
    entries.push({
      at: new Date().toISOString(),
      kind: 'awaited',
      message: `${queue.dead} dead ${queue.dead === 1 ? 'task waits' : 'tasks wait'} for a person.`,
      unblock: `Look: slipway queue dead ${name}. Try again: slipway queue retry ${name} --dead`,
    });
  return entries;
}

function summaryOfTask(task: TaskView): string {
  const attempts = `${task.attempts} ${task.attempts === 1 ? 'attempt' : 'attempts'}`;
  if (task.state === 'dead') return `It is dead after ${attempts} (${task.cause}): ${firstLine(task.error)}`;
  return `It is ${task.state}, in the lane ${task.lane}, after ${attempts}.`;
}

function storyOf(task: TaskView, queue: ApiQueue): Entry[] {
  const name = `${task.kind} ${task.id}`;
  const entries = [
    happened(task.createdAt, 'It was added.'),
    ...task.history.map(({ at, attempt, lane, cause, message }) =>
      happened(new Date(at), `Attempt ${attempt} in the lane ${lane} ended: ${cause}: ${firstLine(message)}`),
    ),
  ];
  if (task.endedAt !== null) entries.push(happened(task.endedAt, task.state === 'done' ? 'It was done.' : 'It died.'));
  const awaited = (message: string, unblock: string | null): void => {
    entries.push({ at: (task.runAt ?? task.createdAt).toISOString(), kind: 'awaited', message, unblock });
  };
  const slots = queue.lanes.find(({ lane }) => lane === task.lane)?.slots ?? 0;
  if (task.state === 'dead') awaited('It waits for a person.', `Try it again: slipway queue retry ${name}`);
  if (task.state === 'scheduled') awaited(`It waits until ${task.runAt?.toISOString()}.`, 'It goes on by itself then.');
  if (task.state === 'ready')
    awaited(`It waits for its turn; ${slots} run at once in its lane.`, 'It goes on by itself when a slot is free.');
  if (task.state === 'running') awaited('An attempt runs.', null);
  return entries;
}

function happened(at: Date, message: string): Entry {
  return { at: at.toISOString(), kind: 'happened', message, unblock: null };
}

function firstLine(text: string | null): string {
  return text?.split('\n')[0] ?? '';
}
