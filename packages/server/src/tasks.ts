import { taskKind, type Queue } from '@slipway/queue';
import type { PoolClient } from 'pg';
import { z } from 'zod';

/**
 * Everything that happens is one of these tasks. Each is level-triggered: it reads the rows, does what can be done now,
 * and returns; whoever makes more possible enqueues it again. So a task that runs twice, or again after a kill, changes nothing that is already done.
 */

/**
 * How often the process may die under a task. A control plane that is killed or upgraded takes every running task with it, which says nothing
 * about the task; only one that kills its process each time is to end.
 */
const losses = 20;

/** Compares a repository with what is recorded: the repair for a push whose process died before it was recorded. */
export const synchronizeTask = taskKind({ name: 'synchronize', payload: z.object({ app: z.string() }), losses });

/** Checks a commit out, builds it, then starts its checks. */
export const prepareTask = taskKind({
  name: 'prepare',
  payload: z.object({ app: z.string(), appId: z.string(), sha: z.string() }),
  losses,
});

/** Runs one check of one commit. */
export const checkTask = taskKind({ name: 'check', payload: z.object({ checkRunId: z.string() }), losses });

/** Moves one rollout as far as it goes. */
export const rolloutTask = taskKind({ name: 'rollout', payload: z.object({ rolloutId: z.string() }), losses });

/** Removes an environment that may be removed. */
export const removeTask = taskKind({ name: 'remove', payload: z.object({ environmentId: z.string() }), losses });

/** Looks whether a preview's time is over. */
export const expireTask = taskKind({ name: 'expire', payload: z.object({ environmentId: z.string() }), losses });

/** Deletes artifacts that no kept release needs. */
export const collectTask = taskKind({ name: 'collect', payload: z.object({ appId: z.string() }), losses });

/** Housekeeping of an app's repository. */
export const maintainTask = taskKind({ name: 'maintain', payload: z.object({ app: z.string() }), losses });

/** Decides how many slots the lanes of a worker have. */
export const scaleTask = taskKind({
  name: 'scale',
  payload: z.object({ environmentId: z.string(), worker: z.string() }),
  losses,
});

/** Makes the schedules of an environment's jobs what its release declares. */
export const scheduleTask = taskKind({ name: 'schedule', payload: z.object({ environmentId: z.string() }), losses });

/** Runs a job whose time has come. A job that fails is an event; the task itself is tried again only for passing faults. */
export const scheduledJobTask = taskKind({
  name: 'scheduled-job',
  payload: z.object({ environmentId: z.string(), job: z.string() }),
  losses,
});

/** Deletes payloads and files of tasks of apps that no task needs. */
export const collectObjectsTask = taskKind({ name: 'collect-objects', payload: z.object({}), losses });

/** Tasks that change one environment run one at a time, in order. */
function environmentKey(environmentId: string): string {
  return `environment:${environmentId}`;
}

/** Enqueues the task that moves a rollout as far as it goes, when the transaction commits. */
export async function enqueueRollout(
  queue: Queue,
  client: PoolClient,
  rollout: { id: string; environmentId: string },
): Promise<void> {
  const once = { key: environmentKey(rollout.environmentId), unique: `rollout:${rollout.id}` };
  await queue.enqueue(rolloutTask, { rolloutId: rollout.id }, { client, ...once });
}

/** Enqueues the task that removes an environment, when the transaction commits. */
export async function enqueueRemoval(queue: Queue, client: PoolClient, environmentId: string): Promise<void> {
  const once = { key: environmentKey(environmentId), unique: `remove:${environmentId}` };
  await queue.enqueue(removeTask, { environmentId }, { client, ...once });
}

/** Enqueues the look at a preview's time for the moment it is over; one waits at a time, and enqueues the next when it comes too early. */
export async function enqueueExpiry(
  queue: Queue,
  client: PoolClient,
  environment: { id: string; expiresAt: Date },
): Promise<void> {
  await queue.enqueue(
    expireTask,
    { environmentId: environment.id },
    // The row has microseconds, which a date has cut off.
    { client, unique: `expire:${environment.id}`, runAt: environment.expiresAt.getTime() + 1 },
  );
}

/** Enqueues the task that prepares a commit, when the transaction commits. Equal trees are one artifact, made by one task at a time. */
export async function enqueuePrepare(
  queue: Queue,
  client: PoolClient,
  commit: { app: string; appId: string; sha: string; tree: string },
): Promise<void> {
  const { tree, ...payload } = commit;
  const once = { key: `prepare:${commit.appId}:${tree}`, unique: `prepare:${commit.appId}:${commit.sha}` };
  await queue.enqueue(prepareTask, payload, { client, ...once });
}

/**
 * Enqueues the decision about the lanes of workers: now, or not before `at` (seconds since 1970). One decision about a worker waits at a
 * time, and takes the earlier moment.
 */
export async function enqueueScaling(
  queue: Queue,
  client: PoolClient | null,
  environmentId: string,
  workers: readonly string[],
  at: number | null = null,
): Promise<void> {
  for (const worker of new Set(workers)) {
    const name = `scale:${environmentId}:${worker}`;
    await queue.enqueue(
      scaleTask,
      { environmentId, worker },
      { ...(client && { client }), ...(at !== null && { runAt: at * 1000 }), key: name, unique: name },
    );
  }
}

/** Enqueues the comparison of an environment's schedules with what its release declares, when the transaction commits. */
export async function enqueueSchedules(queue: Queue, client: PoolClient | null, environmentId: string): Promise<void> {
  const name = `schedule:${environmentId}`;
  await queue.enqueue(scheduleTask, { environmentId }, { ...(client && { client }), key: name, unique: name });
}
