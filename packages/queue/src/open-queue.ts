import { type ConnectOptions, connectPool } from './pool.ts';
import { Queue } from './queue.ts';
import type { QueueOptions } from './queue-options.ts';

export type OpenOptions = Omit<QueueOptions, 'pool'> & Pick<ConnectOptions, 'max' | 'name'>;

/**
 * A queue in the PostgreSQL at this URL, with its tables made or updated: safe when many processes open it at once.
 *
 * Its connections close when they have been idle for ten seconds, and don't keep a process alive that has nothing else to do: a program
 * that only adds tasks needs to close nothing. One that works on tasks calls `start`, and `stop` in the end.
 *
 * ```ts
 * const queue = await openQueue('postgres://user:password@db.example.com/shop');
 * ```
 *
 * @throws {MigrationRefused} when the database belongs to a newer version; others when it can't be reached.
 */
export async function openQueue(url: string, options: OpenOptions = {}): Promise<Queue> {
  const { max, name, ...rest } = options;
  const pool = connectPool(url, {
    ...(max !== undefined && { max }),
    ...(name !== undefined && { name }),
    alone: 'exit',
  });
  const queue = new Queue({ ...rest, pool });
  try {
    await queue.migrate();
  } catch (error) {
    await pool.end();
    throw error;
  }
  return queue;
}
