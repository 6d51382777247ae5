import { taskKind } from '@slipway/queue';
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

/** Tasks that change one environment run one at a time, in order. */
export function environmentKey(environmentId: string): string {
  return `environment:${environmentId}`;
}

/** Commits with the same tree have the same artifact, which is made by one task at a time. */
export function prepareKey(appId: string, tree: string): string {
  return `prepare:${appId}:${tree}`;
}
