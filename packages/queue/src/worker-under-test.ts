import type { Pool } from 'pg';
import { z } from 'zod';
import { connectPool, Queue, taskKind } from './index.ts';

/**
 * A worker process for tests: `worker-under-test.ts URL LEASE_SECONDS [CONCURRENCY]`. It writes one line for everything it
 * does, and stops on SIGTERM as a worker should.
 */

/** Runs until it is told to end by a row in `release`. */
export const hold = taskKind({ name: 'hold', payload: z.object({ name: z.string() }), retries: 0 });
/** Writes into `record` when it began and ended. */
export const record = taskKind({ name: 'record', payload: z.object({ name: z.string() }), retries: 0 });
/** Does the same for a while, three of a key at once. */
export const limited = taskKind({
  name: 'limited',
  payload: z.object({ name: z.string() }),
  retries: 0,
  keyConcurrency: 3,
});
/** Takes its process down. */
export const poison = taskKind({ name: 'poison', payload: z.null(), retries: 0 });

/** Begins to work, says so, and stops on SIGTERM as a worker should. */
export async function workUntilTold(queue: Queue, pool: Pool): Promise<void> {
  process.once('SIGTERM', () => {
    void queue
      .stop({ graceSeconds: 0.2 })
      .then(() => pool.end())
      .then(() => process.exit(0));
  });
  await queue.start();
  console.log('ready');
}

if (import.meta.main) {
  const [url = '', leaseSeconds = '15', concurrency = '4'] = process.argv.slice(2);
  const pool = connectPool(url);
  const queue = new Queue({
    pool,
    leaseSeconds: Number(leaseSeconds),
    onEvent: (event) => console.log(JSON.stringify(event)),
  });
  const options = { concurrency: Number(concurrency) };

  queue.work(
    hold,
    async ({ name }, { number, signal }) => {
      console.log(`holds ${name} attempt ${number}`);
      signal.addEventListener('abort', () => console.log(`aborted ${name}: ${String(signal.reason)}`));
      for (;;) {
        // Held by the database, so that the handler can go on while this process was stopped in between.
        const { rowCount } = await pool.query('select from release where name = $1', [name]);
        if (rowCount !== 0) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      console.log(`releases ${name} attempt ${number}`);
    },
    options,
  );
  const keepRecord = async (name: string, taskId: string, attempt: number, work: () => Promise<void>) => {
    const values = [taskId, name, attempt, process.pid];
    await pool.query('insert into record (task, name, attempt, pid) values ($1, $2, $3, $4)', values);
    await work();
    const ended = 'update record set ended_at = clock_timestamp() where task = $1 and attempt = $2';
    await pool.query(ended, [taskId, attempt]);
  };
  queue.work(
    record,
    ({ name }, { taskId, number }) => keepRecord(name, taskId, number, async () => undefined),
    options,
  );
  queue.work(
    limited,
    ({ name }, { taskId, number }) =>
      keepRecord(name, taskId, number, async () => void (await pool.query('select pg_sleep(0.02)'))),
    options,
  );
  queue.work(poison, async () => void process.kill(process.pid, 'SIGKILL'), options);

  await workUntilTold(queue, pool);
}
