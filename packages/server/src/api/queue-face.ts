import type { IncomingMessage, ServerResponse } from 'node:http';
import { tasksApi } from '@slipway/queue';
import { identify, mayDo } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { isDatabaseGone } from './http.ts';

/** Where the queues of an environment are: `/queues/APP/ENVIRONMENT/...`. */
const address = /^\/queues\/([a-z0-9-]+)\/([a-z0-9-]+)(\/.*)$/;

/**
 * Tasks for the processes of apps, with the token that their environment has, or with the token of a person. A token of one environment is
 * told nothing of another one: whether that exists or not, the answer is the same.
 */
export function queueFace(context: Context): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async function answerQueues(request, response) {
    try {
      await answer(context, request, response);
    } catch (error) {
      const gone = isDatabaseGone(error);
      if (!gone) context.log(`bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      refuse(response, gone ? 503 : 500, {
        code: gone ? 'unavailable' : 'bug',
        message: gone
          ? 'The database does not answer at the moment.'
          : 'Slipway made a mistake; its log has the details.',
        hint: 'Try again in a moment.',
      });
    }
  };
}

async function answer(context: Context, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, app = '', environment = '', rest = ''] = address.exec(request.url ?? '') ?? [];
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  if (!(await mayUse(context, `${app}/${environment}`, token, request.method ?? 'GET')))
    return refuse(response, 401, {
      code: 'denied',
      message: 'This token does not open the queues of this environment.',
      hint: 'Processes of an app find the right one in SLIPWAY_QUEUE_TOKEN, and the address in SLIPWAY_QUEUE_URL.',
    });
  const queues = await context.kinds.of(app, environment);
  if (queues === null)
    return refuse(response, 404, {
      code: 'not-found',
      message: `There is no environment ${app}/${environment}.`,
      hint: 'It may have been removed, and its queues with it.',
    });
  const scope = `${app}/${environment}/`;
  const api = tasksApi({
    queue: context.tasks,
    objects: context.objects,
    scope,
    kindOf: (name) => queues.kinds.get(name) ?? null,
    kinds: () => [...queues.kinds.keys()],
    onBug: (error) => context.log(`bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  });
  await api(request, response, withQueue(rest, scope));
}

/** The processes of an environment may do everything with its queues; of people, viewers read and deployers enqueue, retry and cancel. */
async function mayUse(context: Context, environment: string, token: string, method: string): Promise<boolean> {
  if (token === '') return false;
  if (context.queueAccess.opens(environment, token)) return true;
  const identity = await identify(context.pool, token);
  return identity !== null && mayDo(identity, method === 'GET' ? 'viewer' : 'deployer');
}

/** `/tasks/thumbnails` adds a task to the queue of that worker: here a worker's name is enough. */
function withQueue(path: string, scope: string): string {
  const worker = /^\/tasks\/([^/?]*[a-z][^/?]*)(\?.*)?$/.exec(path);
  return worker ? `/tasks/${scope}${worker[1]}${worker[2] ?? ''}` : path;
}

function refuse(
  response: ServerResponse,
  status: 401 | 404 | 500 | 503,
  error: { code: string; message: string; hint: string },
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify({ error }));
}
