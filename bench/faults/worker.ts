import { connectPool, Queue, taskKind } from '@slipway/queue';
import { z } from 'zod';

/** A worker process of the benchmark `faults`: `worker.ts URL`. It says `ready` to its parent when it takes tasks. */
export const SLOTS = 8;
const TASK_MS = 50;

/** A kill takes tasks down that were claimed in advance too; one that is lost so often must not be taken for the fault of the task. */
export const kind = taskKind({ name: 'faults', payload: z.object({ n: z.number() }), losses: 100 });

if (import.meta.main) {
  const pool = connectPool(process.argv[2] ?? '');
  const queue = new Queue({ pool });
  queue.work(kind, () => new Promise<void>((resolve) => setTimeout(resolve, TASK_MS)), { concurrency: SLOTS });
  process.once('disconnect', () => process.exit());
  await queue.start();
  process.send?.('ready');
}
