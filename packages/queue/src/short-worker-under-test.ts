import { appendFileSync } from 'node:fs';
import { z } from 'zod';
import { connectPool, Queue, Snooze, taskKind } from './index.ts';
import { workUntilTold } from './worker-under-test.ts';

/**
 * A worker process for tests of short tasks: `short-worker-under-test.ts URL LEASE_SECONDS LOG [CONCURRENCY]`. It appends a line to the file LOG for
 * every attempt that begins, which survives any end of the process.
 */

/** Ends at once, unless `does` says something else. */
export const short = taskKind({
  name: 'short',
  payload: z.object({ n: z.number(), does: z.enum(['end', 'fail once', 'die', 'hold', 'snooze once']).default('end') }),
  retries: 2,
  backoff: () => 0.05,
});

export async function doShort(
  pool: { query(text: string): Promise<{ rowCount: number | null }> },
  { does }: z.infer<typeof short.payload>,
  number: number,
): Promise<void> {
  if (does === 'die') process.kill(process.pid, 'SIGKILL');
  if (does === 'fail once' && number === 1) throw new Error('the first time fails');
  if (does === 'snooze once' && number === 1) throw new Snooze(0.05);
  if (does === 'hold') while ((await pool.query('select from release')).rowCount === 0);
}

if (import.meta.main) {
  const [url = '', leaseSeconds = '15', log = '', concurrency = '4'] = process.argv.slice(2);
  const pool = connectPool(url);
  const queue = new Queue({
    pool,
    leaseSeconds: Number(leaseSeconds),
    onEvent: (event) => event.event === 'done' || console.log(JSON.stringify(event)),
  });
  queue.work(
    short,
    (payload, { taskId, number, lease }) => {
      appendFileSync(log, `${taskId} ${number} ${lease} ${process.pid}\n`);
      return doShort(pool, payload, number);
    },
    { concurrency: Number(concurrency) },
  );
  await workUntilTold(queue, pool);
}
