import { testDatabase } from '@slipway/testing';
import { onTestFinished } from 'vitest';
import { connectPool, Queue, type QueueEvent } from './index.ts';

/** Queues with their tables in a database of their own, not started, and all that they tell. They stop with the test. */
export async function queuesUnderTest() {
  const { pool, url } = await testDatabase({
    name: 'queue',
    prepare: async (template) => {
      const templatePool = connectPool(template);
      await new Queue({ pool: templatePool }).migrate();
      await templatePool.end();
    },
  });
  const events: QueueEvent[] = [];
  const another = () => {
    const queue = new Queue({ pool, onEvent: (event) => events.push(event) });
    onTestFinished(() => queue.stop({ graceSeconds: 0 }));
    return queue;
  };
  return { pool, url, events, another, queue: another() };
}
