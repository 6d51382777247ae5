import { SlipwayError } from '@slipway/app/errors';
import type { ApiQueue } from '../api.ts';
import type { Client } from '../client.ts';

/** Names one queue: a worker of an app in an environment. */
export interface QueueTarget {
  /** `APP/ENV/WORKER`. */
  name: string;
  /** Where the API tells about it. */
  path: string;
}

/**
 * Reads `APP/ENV/WORKER`, or the name of a worker that there is only once. The environment may be a branch, which may hold slashes itself.
 *
 * @throws {SlipwayError} `mistake` when it names no queue, or several.
 */
export async function queueTarget(client: Client, text: string): Promise<QueueTarget> {
  const parts = text.split('/');
  if (parts.includes('') || parts.length === 2) {
    throw new SlipwayError('mistake', `'${text}' does not name a queue`, {
      hint: 'Write APP/ENV/WORKER, e.g. shop/production/thumbnails. What there is: slipway queue list',
    });
  }
  if (parts.length > 2) return targetOf(parts[0] ?? '', parts.slice(1, -1).join('/'), parts.at(-1) ?? '');
  const all = await client.get<ApiQueue[]>('/api/queues');
  const found = all.filter(({ name }) => name === text).map((queue) => targetOfAnswer(queue));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const names = found.map(({ name }) => name).join(', ');
  throw new SlipwayError(
    'mistake',
    found.length === 0 ? `there is no worker '${text}'` : `several workers are called '${text}'`,
    {
      hint: found.length === 0 ? 'What there is: slipway queue list' : `Name one of them: ${names}`,
    },
  );
}

export function queueName({ environment, name }: ApiQueue): string {
  return `${environment}/${name}`;
}

export function taskPath(queue: QueueTarget, task: string): string {
  return `${queue.path}/tasks/${encodeURIComponent(task)}`;
}

function targetOfAnswer({ environment, name }: ApiQueue): QueueTarget {
  const slash = environment.indexOf('/');
  return targetOf(environment.slice(0, slash), environment.slice(slash + 1), name);
}

function targetOf(app: string, environment: string, worker: string): QueueTarget {
  const path = [app, environment, worker].map(encodeURIComponent).join('/');
  return { name: `${app}/${environment}/${worker}`, path: `/api/queues/${path}` };
}
