import { type Contender, type Payload, type Producer } from './contender.ts';
import { Pool } from 'pg';
import { loadPeer } from './peers/load.ts';

interface Boss {
  on(event: 'error', listener: () => void): void;
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  createQueue(name: string, options: object): Promise<void>;
  send(name: string, data: Payload): Promise<unknown>;
  insert(name: string, jobs: { data: Payload }[]): Promise<unknown>;
  work(name: string, options: object, handler: (jobs: { data: Payload }[]) => Promise<void>): Promise<unknown>;
}
interface PgBoss {
  PgBoss: new (options: object) => Boss;
}

/**
 * Large batches, several fetching workers, fetching without a pause while batches are full, and woken by notifications:
 * https://pgboss.io/api/workers
 */
export const pgBoss: Contender = {
  settings: [
    { ahead: 500, atOnce: 4 },
    { ahead: 1_000, atOnce: 2 },
    { ahead: 1_000, atOnce: 4 },
    { ahead: 2_000, atOnce: 2 },
    { ahead: 2_000, atOnce: 4 },
  ],

  async prepare(server) {
    const boss = await open(server, { supervise: false });
    await boss.createQueue('bench', { notify: true });
    await close(boss);
  },

  async produce(server): Promise<Producer> {
    const boss = await open(server, { max: 1, supervise: false });
    return {
      add: async (payload) => void (await boss.send('bench', payload)),
      addMany: async (payloads) =>
        void (await boss.insert(
          'bench',
          payloads.map((data) => ({ data })),
        )),
      close: () => close(boss),
    };
  },

  async work(server, handle, { ahead = 500, atOnce }) {
    const boss = await open(server, { max: 2 * atOnce, useListenNotify: true });
    await boss.work(
      'bench',
      { batchSize: ahead, localConcurrency: atOnce, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
      async (jobs) => {
        for (const { data } of jobs) handle(data);
      },
    );
    return () => close(boss);
  },

  async left(server) {
    const pool = new Pool({ connectionString: server });
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::int as n from pgboss.job where name = 'bench' and state <> 'completed'`,
    );
    await pool.end();
    return rows[0]?.n ?? 0;
  },
};

async function open(server: string, options: object): Promise<Boss> {
  const library = await loadPeer<PgBoss>('pg-boss');
  const boss = new library.PgBoss({ connectionString: server, schedule: false, ...options });
  boss.on('error', () => undefined);
  await boss.start();
  return boss;
}

async function close(boss: Boss): Promise<void> {
  await boss.stop({ graceful: true, close: true });
}
