import { connectPool, Queue, taskKind } from '@slipway/queue';
import { z } from 'zod';
import { type Contender, type Payload, type Producer } from './contender.ts';

const kind = taskKind({
  name: 'bench',
  payload: z.object({ n: z.number(), at: z.number(), image: z.string(), width: z.number() }),
});

export const slipway: Contender = {
  settings: [{ atOnce: 32 }],

  async prepare(server) {
    const pool = connectPool(server);
    await new Queue({ pool }).migrate();
    await pool.end();
  },

  async produce(server): Promise<Producer> {
    const pool = connectPool(server, { max: 1 });
    const queue = new Queue({ pool });
    return {
      add: async (payload) => void (await queue.enqueue(kind, payload)),
      addMany: async (payloads) =>
        void (await queue.enqueueMany(
          kind,
          payloads.map((payload) => ({ payload })),
        )),
      close: () => pool.end(),
    };
  },

  async work(server, handle: (payload: Payload) => void, { atOnce }) {
    const pool = connectPool(server);
    const queue = new Queue({ pool });
    queue.work(kind, async (payload) => handle(payload), { concurrency: atOnce });
    await queue.start();
    return async () => {
      await queue.stop();
      await pool.end();
    };
  },

  async left(server) {
    const pool = connectPool(server);
    const counts = await new Queue({ pool }).counts();
    await pool.end();
    return Object.values(counts['bench'] ?? {}).reduce((sum, count) => sum + count, 0);
  },
};
