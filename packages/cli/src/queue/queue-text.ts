import { sizeText } from '@slipway/queue/sizing';
import type { ApiQueue, ApiTask } from '../api.ts';
import { timeText } from '../describe.ts';
import { facts, table } from '../table.ts';
import { queueName } from './queue-target.ts';

/** Queues and tasks as people read them on a terminal. */

type Lane = ApiQueue['lanes'][number];

export function queueTable(queues: ApiQueue[]): string {
  if (queues.length === 0) return 'No queues yet: a worker in a slipway.yaml makes one.';
  return table(
    ['QUEUE', 'READY', 'SCHEDULED', 'RUNNING', 'SLOTS', 'OLDEST', 'CAME/MIN', 'DONE/MIN', 'DEAD'],
    queues.map((queue) => [
      queueName(queue),
      countText(sum(queue.lanes, 'ready'), queue),
      countText(sum(queue.lanes, 'scheduled'), queue),
      String(sum(queue.lanes, 'running')),
      queue.lanes.map(({ slots }) => slots).join('+'),
      secondsText(queue.oldestSeconds),
      rateText(queue.ratePerMinute.arrived),
      rateText(queue.ratePerMinute.done),
      String(queue.dead),
    ]),
  );
}

export function oneQueue(queue: ApiQueue): string {
  const name = queueName(queue);
  return [
    facts([
      ['queue', name],
      ['a minute', `${rateText(queue.ratePerMinute.arrived)} came, ${rateText(queue.ratePerMinute.done)} done`],
      ['oldest ready', secondsText(queue.oldestSeconds)],
      ['dead', queue.dead === 0 ? '0' : `${queue.dead}   (slipway queue dead ${name})`],
    ]),
    table(
      ['LANE', 'READY', 'SCHEDULED', 'RUNNING', 'SLOTS', 'SIZE', 'WHY SO MANY SLOTS'],
      queue.lanes.map((lane) => [
        lane.lane,
        countText(lane.ready, queue),
        countText(lane.scheduled, queue),
        String(lane.running),
        `${lane.slots}/${lane.maxSlots}`,
        sizeText(lane.size),
        lane.reason,
      ]),
    ),
    table(
      ['LANE', 'DONE', 'ERROR', 'OOM', 'TIMEOUT', 'CRASH', 'LOST', 'INTERRUPTED', 'ESCALATED', 'DEAD'],
      queue.lanes.map(({ lane, counts }) => [
        lane,
        ...[counts.done, counts.errors, counts.ooms, counts.timeouts, counts.crashes].map(String),
        ...[counts.lost, counts.interrupted, counts.escalated, counts.dead].map(String),
      ]),
    ),
  ].join('\n\n');
}

export function oneTask(task: ApiTask): string {
  const about = facts([
    ['task', `${task.id} of ${task.queue}`],
    ['state', stateText(task)],
    ['lane', task.lane],
    ['key', task.key],
    ['attempts', attemptsText(task)],
    ['progress', jsonText(task.progress)],
    ['payload', jsonText(task.payload)],
    ['result', jsonText(task.result)],
    ['output', jsonText(task.output)],
    ['error', task.error],
    ['created', timeText(task.createdAt)],
    ['finished', task.finishedAt === null ? null : timeText(task.finishedAt)],
  ]);
  if (task.history.length === 0) return about;
  const history = table(
    ['ATTEMPT', 'LANE', 'WHEN', 'CAUSE', 'WHAT'],
    task.history.map(({ attempt, lane, at, cause, message }) => [
      String(attempt),
      lane,
      timeText(at),
      cause,
      oneLine(message),
    ]),
  );
  return `${about}\n\n${history}`;
}

export function deadTable(queue: string, tasks: ApiTask[], limit: number): string {
  if (tasks.length === 0) return `No dead tasks in ${queue}.`;
  const rows = table(
    ['TASK', 'CAUSE', 'ATTEMPTS', 'WHEN', 'ERROR'],
    tasks.map((task) => [
      task.id,
      task.cause ?? '-',
      String(task.attempts),
      timeText(task.finishedAt ?? task.createdAt),
      oneLine(task.error ?? ''),
    ]),
  );
  const more = tasks.length < limit ? [] : [`These are the newest ${limit}; see more by a larger --limit.`];
  return [rows, '', ...more, `Try them again: slipway queue retry ${queue} TASK, or --dead for all`].join('\n');
}

/** What went wrong is often said in the last line of several. */
export function oneLine(text: string): string {
  const line = text.trim().replaceAll(/\s*\n\s*/g, ' ');
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

function stateText({ state, cause, runAt }: ApiTask): string {
  if (state === 'scheduled' && runAt !== null) return `scheduled for ${timeText(runAt)}`;
  if (state === 'blocked') return 'blocked: it waits for the last of its batch';
  return state === 'dead' && cause !== null ? `dead: ${cause}` : state;
}

/** `3 (1 error, 2 oom)`: what ended them, where it was not their success. */
function attemptsText(task: ApiTask): string {
  const ends = [
    [task.failures, 'error'],
    [task.ooms, 'oom'],
    [task.timeouts, 'timeout'],
    [task.crashes, 'crash'],
    [task.losses, 'lost'],
    [task.interruptions, 'interrupted'],
  ] as const;
  const seen = ends.filter(([count]) => count > 0).map(([count, cause]) => `${count} ${cause}`);
  return seen.length === 0 ? String(task.attempts) : `${task.attempts} (${seen.join(', ')})`;
}

function jsonText(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

function sum(lanes: Lane[], field: 'ready' | 'scheduled' | 'running'): number {
  return lanes.reduce((total, lane) => total + lane[field], 0);
}

function countText(count: number, { approximate }: ApiQueue): string {
  return approximate && count > 0 ? `${count}+` : String(count);
}

function rateText(perMinute: number): string {
  return String(Number(perMinute.toFixed(perMinute < 10 ? 1 : 0)));
}

function secondsText(seconds: number | null): string {
  if (seconds === null) return '-';
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
