import { styleText } from 'node:util';
import type { Client } from '../client.ts';
import type { Context } from '../context.ts';
import { timeText } from '../describe.ts';
import { trustedJson } from '../trusted-json.ts';
import type { QueueTarget } from './queue-target.ts';
import { oneLine } from './queue-text.ts';

/** What happened to a task; fields that don't belong to an event are missing. */
interface TaskEvent {
  at?: string;
  taskId?: string;
  lane?: string;
  attempt?: number;
  seconds?: number;
  inSeconds?: number;
  cause?: string;
  /** Of a task whose process is gone. */
  fate?: string;
  error?: string;
}

/** Prints what happens in a queue until the connection ends. With `--json` one event a line. */
export async function tailQueue(context: Context, client: Client, queue: QueueTarget): Promise<void> {
  for await (const message of client.stream(`${queue.path}/events`)) {
    const event = trustedJson<TaskEvent>(message.data);
    if (event.taskId === undefined) continue;
    context.print({ event: message.event, ...event }, eventText(message.event, event));
  }
  process.stderr.write('slipway: the control plane ended the stream. Run the command again to go on.\n');
  process.exitCode = 1;
}

/** `12:03:01  done       task 17  normal  attempt 1  0.4 s`. */
function eventText(name: string, event: TaskEvent): string {
  const stream = process.stdout;
  const words = [
    styleText('gray', timeText(event.at ?? new Date().toISOString()), { stream }),
    name.replace(/^task-/, '').padEnd(11),
    `task ${event.taskId}`,
    event.lane ?? '',
    event.attempt === undefined ? '' : `attempt ${event.attempt}`,
    event.cause ?? '',
    event.fate ?? '',
    event.seconds === undefined ? '' : `${Number(event.seconds.toFixed(3))} s`,
    event.inSeconds === undefined ? '' : `again in ${Number(event.inSeconds.toFixed(1))} s`,
    oneLine(event.error ?? ''),
  ];
  return words.filter((word) => word !== '').join('  ');
}
