import { messageOf } from '@slipway/app';
import type { Context } from './context.ts';
import { rows, transaction } from './database/sql.ts';
import { scaleEverything } from './workers/scale.ts';
import {
  checkTask,
  enqueueExpiry,
  enqueuePrepare,
  enqueueRemoval,
  enqueueRollout,
  enqueueSchedules,
  synchronizeTask,
} from './tasks.ts';

/**
 * Enqueues a task for everything that is not finished. Whatever was lost (a push whose process died before it was recorded, a
 * task that ended in the dead letters with its process), starting again repairs it: every task reads the rows and does only
 * what is still to do, so one too many changes nothing. Also called when the database is back after it was gone.
 */
export async function resumeOpenWork(context: Context): Promise<void> {
  const { forge, pool, queue } = context;
  try {
    for (const app of await forge.repositories())
      await queue.enqueue(synchronizeTask, { app }, { unique: `synchronize:${app}` });
    await transaction(pool, async (client) => {
      const commits = await rows<{ app: string; appId: string; sha: string; tree: string }>(
        client,
        `select app.name as app, commit.app_id as "appId", commit.sha, commit.tree from commit
         join app on app.id = commit.app_id where commit.state in ('received', 'preparing', 'checking')`,
      );
      for (const commit of commits) await enqueuePrepare(queue, client, commit);
      const checks = await rows<{ id: string }>(
        client,
        `select id from check_run where state in ('queued', 'running')`,
      );
      for (const { id } of checks)
        await queue.enqueue(checkTask, { checkRunId: id }, { client, unique: `check:${id}` });
      const rollouts = await rows<{ id: string; environmentId: string }>(
        client,
        `select id, environment_id as "environmentId" from rollout where state in ('waiting', 'running')`,
      );
      for (const rollout of rollouts) await enqueueRollout(queue, client, rollout);
      const removing = await rows<{ id: string }>(client, `select id from environment where removal = 'removing'`);
      for (const { id } of removing) await enqueueRemoval(queue, client, id);
      const expiring = await rows<{ id: string; expiresAt: Date }>(
        client,
        `select id, expires_at as "expiresAt" from environment
         where removal in ('none', 'waiting') and expires_at is not null`,
      );
      for (const environment of expiring) await enqueueExpiry(queue, client, environment);
    });
    const serving = await rows<{ id: string }>(
      pool,
      `select id from environment where removal in ('none', 'waiting') and current_release is not null`,
    );
    for (const { id } of serving) await enqueueSchedules(queue, null, id);
    await scaleEverything(context);
  } catch (error) {
    context.log(`open work could not be resumed, it is tried again when the database is back: ${messageOf(error)}`);
  }
}
