import type { SSEStreamingApi } from 'hono/streaming';
import type { QueueEvent } from '@slipway/queue';
import type { Context } from '../context.ts';
import { every, Outbox } from './outbox.ts';

/** Seconds between comments on a silent stream, so that proxies and clients know it lives. */
const keepAliveSeconds = 25;

/** What happens to the tasks of one queue from now on, until the client goes away: `task-` and the name of the event, with its data. */
export async function streamTasks(context: Context, stream: SSEStreamingApi, queue: string): Promise<void> {
  const outbox = new Outbox(stream);
  const releasers = [
    context.tasks.onEvent((event) => {
      if (!isAbout(event, queue)) return;
      const { event: name, ...data } = event;
      const at = new Date().toISOString();
      outbox.push(() => stream.writeSSE({ event: `task-${name}`, data: JSON.stringify({ at, ...data }) }));
    }),
    every(keepAliveSeconds, () => outbox.push(async () => void (await stream.write(': alive\n\n')))),
  ];
  try {
    await stream.writeSSE({ event: 'synced', data: '{}' });
    await outbox.run();
  } finally {
    for (const release of releasers) release();
  }
}

function isAbout(event: QueueEvent, queue: string): boolean {
  return 'kind' in event && event.kind === queue;
}
