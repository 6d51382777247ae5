import { Pool } from 'pg';
import { CONCURRENCY, type Contender, type Payload, type Producer } from './contender.ts';
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

/** The settings with batching of https://worker.graphile.org/docs/performance, and as many handlers at once as the others. */
export const graphile: Contender = {
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

  async work(server, handle) {
    const library = await load();
    const runner = await library.run({
      logger: quiet(library),
      noHandleSignals: true,
      taskList: { bench: async (payload: Payload) => handle(payload) },
      preset: {
        worker: {
          connectionString: server,
          concurrentJobs: CONCURRENCY,
          maxPoolSize: CONCURRENCY + 1,
          localQueue: { size: 500 },
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
