/** PostgreSQL schema of the tasks of apps; the control plane's own are in `slipway_queue`. */
export const tasksSchema = 'slipway_tasks';

/** A queue belongs to one worker of one environment: `shop/production/thumbnails`. It is also its kind of task. */
export function queueName(environment: { app: string; name: string }, worker: string): string {
  return `${environment.app}/${environment.name}/${worker}`;
}

/** What a queue's name says; null when it is none. */
export function parseQueueName(queue: string): { app: string; environment: string; worker: string } | null {
  const [app, environment, worker, ...rest] = queue.split('/');
  if (!app || !environment || !worker || rest.length > 0) return null;
  return { app, environment, worker };
}
