import { ObjectStoreDown } from '@slipway/queue/objects';
import type { Context } from '../context.ts';
import { collectObjectsTask } from '../tasks.ts';

/** What is younger is kept, whatever names it: a day. */
const olderThanSeconds = 86_400;

/** Has the objects of tasks collected every night. The last word about a schedule counts, so that each start may say it. */
export async function scheduleCollection(context: Pick<Context, 'queue'>): Promise<void> {
  const name = 'collect-objects';
  await context.queue.cron({
    name,
    schedule: '17 3 * * *',
    kind: collectObjectsTask,
    payload: {},
    key: name,
    unique: name,
  });
}

/** Deletes payloads and files that no task of any app needs any more. */
export async function collectTaskObjects(context: Pick<Context, 'tasks' | 'log'>): Promise<void> {
  try {
    const { objects, bytes, unfinished } = await context.tasks.collectObjects({ olderThanSeconds });
    if (objects + unfinished === 0) return;
    const mebibytes = Math.ceil(bytes / 2 ** 20);
    context.log(
      `objects that no task needs any more were deleted: ${objects} (${mebibytes} MiB); interrupted uploads: ${unfinished}`,
    );
  } catch (error) {
    if (!(error instanceof ObjectStoreDown)) throw error;
    // Nothing needs the room at once.
    context.log(`objects that no task needs could not all be deleted, the next night goes on: ${error.message}`);
  }
}
