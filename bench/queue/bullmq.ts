import { Pool } from 'pg';
import { type Contender, type Payload, type Producer } from './contender.ts';
import { loadPeer } from './peers/load.ts';

interface BullQueue {
  add(name: string, data: Payload, options: object): Promise<unknown>;
  addBulk(jobs: { name: string; data: Payload; opts: object }[]): Promise<unknown>;
  getJobCounts(...states: string[]): Promise<Record<string, number>>;
  close(): Promise<void>;
}
interface BullWorker {
  on(event: 'error', listener: (error: Error) => void): void;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
}
interface BullMq {
  Queue: new (name: string, options: object, backend?: unknown) => BullQueue;
  Worker: new (
    name: string,
    processor: (job: { data: Payload }) => Promise<void>,
    options: object,
    backend?: unknown,
  ) => BullWorker;
  createPostgresBackend: unknown;
  runMigrations(client: unknown): Promise<unknown>;
}

const load = () => loadPeer<BullMq>('bullmq');
// As the others: what is done is not kept.
const opts = { removeOnComplete: true, removeOnFail: true };
const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'failed', 'paused', 'waiting-children'];

/** https://docs.bullmq.io/guide/workers/concurrency; `concurrency` within the 8 to 32 of its own measurements. */
export const bullmqRedis = bullmq({
  prepare: async () => undefined,
  connection: (server) => ({ url: server, maxRetriesPerRequest: null }),
  backend: () => undefined,
});

/** https://docs.bullmq.io/guide/postgresql: a pool as large as the concurrency. */
export const bullmqPostgres = bullmq({
  async prepare(server) {
    const library = await load();
    const pool = new Pool({ connectionString: server });
    const client = await pool.connect();
    await library.runMigrations(client);
    client.release();
    await pool.end();
  },
  connection: (server, max) => ({ connectionString: server, max }),
  backend: ({ createPostgresBackend }) => createPostgresBackend,
});

function bullmq(store: {
  prepare: (server: string) => Promise<void>;
  connection: (server: string, max: number) => object;
  backend: (library: BullMq) => unknown;
}): Contender {
  const queueOn = async (server: string): Promise<BullQueue> => {
    const library = await load();
    return new library.Queue('bench', { connection: store.connection(server, 1) }, store.backend(library));
  };
  return {
    settings: [{ atOnce: 32 }, { atOnce: 8 }, { atOnce: 100 }],
    prepare: store.prepare,

    async produce(server): Promise<Producer> {
      const queue = await queueOn(server);
      return {
        add: async (payload) => void (await queue.add('bench', payload, opts)),
        addMany: async (payloads) =>
          void (await queue.addBulk(payloads.map((data) => ({ name: 'bench', data, opts })))),
        close: () => queue.close(),
      };
    },

    async work(server, handle, { atOnce }) {
      const library = await load();
      const worker = new library.Worker(
        'bench',
        async ({ data }) => handle(data),
        { connection: store.connection(server, atOnce), concurrency: atOnce },
        store.backend(library),
      );
      worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`));
      await worker.waitUntilReady();
      return () => worker.close();
    },

    async left(server) {
      const queue = await queueOn(server);
      const counts = await queue.getJobCounts(...STATES);
      await queue.close();
      return Object.values(counts).reduce((sum, count) => sum + count, 0);
    },
  };
}
