import { Pool } from 'pg';
import { type Contender, type Payload, type Producer } from './contender.ts';
import { loadPeer } from './peers/load.ts';

interface GraphileWorker {
  run(options: object): Promise<{ stop(): Promise<void> }>;
  makeWorkerUtils(options: object): Promise<{
    migrate(): Promise<void>;
    addJob(task: string, payload: Payload): Promise<unknown>;
    addJobs(jobs: { identifier: string; payload: Payload }[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
  Logger: new (factory: () => () => void) => object;
}

const load = () => loadPeer<GraphileWorker>('graphile-worker');
const quiet = ({ Logger }: GraphileWorker) => new Logger(() => () => undefined);

/** The settings with batching of https://worker.graphile.org/docs/performance. */
export const graphile: Contender = {
  settings: [
    { ahead: 500, atOnce: 24 },
    { ahead: 500, atOnce: 100 },
    { ahead: 2_000, atOnce: 24 },
    { ahead: 2_000, atOnce: 100 },
    { ahead: 5_000, atOnce: 50 },
    { ahead: 10_000, atOnce: 50 },
  ],

  async prepare(server) {
    const library = await load();
    const utils = await library.makeWorkerUtils({ connectionString: server, logger: quiet(library) });
    await utils.migrate();
    await utils.release();
  },

  async produce(server): Promise<Producer> {
    const library = await load();
    const pgPool = new Pool({ connectionString: server, max: 1 });
    pgPool.on('error', () => undefined);
    const utils = await library.makeWorkerUtils({ pgPool, logger: quiet(library) });
    return {
      add: async (payload) => void (await utils.addJob('bench', payload)),
      addMany: async (payloads) =>
        void (await utils.addJobs(payloads.map((payload) => ({ identifier: 'bench', payload })))),
      close: async () => {
        await utils.release();
        await pgPool.end();
      },
    };
  },

  async work(server, handle, { ahead = 500, atOnce }) {
    const library = await load();
    const runner = await library.run({
      logger: quiet(library),
      noHandleSignals: true,
      taskList: { bench: async (payload: Payload) => handle(payload) },
      preset: {
        worker: {
          connectionString: server,
          concurrentJobs: atOnce,
          maxPoolSize: atOnce + 1,
          localQueue: { size: ahead },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    return () => runner.stop();
  },

  async left(server) {
    const pool = new Pool({ connectionString: server });
    const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from graphile_worker._private_jobs');
    await pool.end();
    return rows[0]?.n ?? 0;
  },
};
