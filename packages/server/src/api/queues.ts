import { createRoute, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { nearest, SlipwayError } from '@slipway/app';
import { requireRole } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { environmentColumns, environmentTable, type EnvironmentRow } from '../database/records.ts';
import { theRow } from '../database/sql.ts';
import { writeMetrics } from '../workers/metrics.ts';
import type { EnvironmentQueues } from '../workers/queue-kinds.ts';
import { queueName } from '../workers/queue-name.ts';
import { applyProposal, proposeFor, type Proposed, type SizeTarget } from '../workers/sizes.ts';
import { viewQueue, viewQueues } from '../workers/view.ts';
import { findEnvironment } from './find.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { queueSchema, scaleSchema, sizeProposalSchema, type ApiQueue, type ApiSizeProposal } from './schemas.ts';
import { streamTasks } from './task-stream.ts';

export const queueParam = z.object({ app: z.string(), environment: z.string(), worker: z.string() });
export const queuePath = '/api/queues/{app}/{environment}/{worker}';

/** A queue that a path names. */
export interface FoundQueue {
  queues: EnvironmentQueues;
  worker: string;
  queue: string;
}

/** @throws {SlipwayError} `not-found` with the nearest name there is. */
export async function findQueue(context: Context, path: z.infer<typeof queueParam>): Promise<FoundQueue> {
  const environment = await findEnvironment(context, path.app, path.environment);
  const queues = await context.kinds.of(environment.app, environment.name);
  if (queues?.workers.has(path.worker)) return { queues, worker: path.worker, queue: queueName(queues, path.worker) };
  const known = [...(queues?.workers.keys() ?? [])];
  const near = nearest(path.worker, known);
  const list = known.length === 0 ? 'Its release declares no workers.' : `It has ${known.join(', ')}.`;
  throw new SlipwayError('not-found', `${environment.name} has no worker ${path.worker}.`, {
    hint: near === null ? list : `Did you mean ${near}?`,
  });
}

/** Queues as they are, how they scale, and what sizes they should have. */
export const queueRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/queues',
      summary: 'All queues of all environments',
      request: { query: z.object({ app: z.string().optional(), environment: z.string().optional() }) },
      responses: { 200: json(z.array(queueSchema), 'The queues'), ...problems },
    }),
    async (c) => c.json(await viewQueues(context, c.req.valid('query')), 200),
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: queuePath,
      summary: 'One queue',
      request: { params: queueParam },
      responses: { 200: json(queueSchema, 'The queue'), ...problems },
    }),
    async (c) => c.json(await theQueue(context, c.req.valid('param')), 200),
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: `${queuePath}/scale`,
      summary: 'How many tasks at once each lane should have, for another autoscaler',
      request: { params: queueParam },
      responses: { 200: json(scaleSchema, 'By lane'), ...problems },
    }),
    async (c) => {
      const { lanes } = await theQueue(context, c.req.valid('param'));
      return c.json(
        {
          lanes: lanes.map(({ lane, slots, running, ready, reason }) => ({
            lane,
            desired: slots,
            running,
            ready,
            reason,
          })),
        },
        200,
      );
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: `${queuePath}/size`,
      summary: 'Sizes of the lanes that the measurements propose',
      request: { params: queueParam },
      responses: { 200: json(sizeProposalSchema, 'The proposal'), ...problems },
    }),
    async (c) => {
      const target = await sizeTarget(context, await findQueue(context, c.req.valid('param')));
      return c.json(viewProposal(await proposeFor(context, target)), 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${queuePath}/size`,
      summary: 'Put the proposed sizes in force',
      request: { params: queueParam },
      responses: { 200: json(sizeProposalSchema, 'What is in force now'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'changing sizes');
      const target = await sizeTarget(context, await findQueue(context, c.req.valid('param')));
      return c.json(viewProposal(await applyProposal(context, target, identity.name)), 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: `${queuePath}/events`,
      summary: 'What happens to the tasks of a queue from now on, as server-sent events',
      request: { params: queueParam },
      responses: {
        200: {
          description:
            'text/event-stream of `synced`, then `task-done`, `task-retry`, `task-escalated`, `task-dead`, ...',
          content: { 'text/event-stream': { schema: z.string() } },
        },
        ...problems,
      },
    }),
    async (c) => {
      const { queue } = await findQueue(context, c.req.valid('param'));
      c.header('X-Accel-Buffering', 'no');
      return streamSSE(c, (stream) => streamTasks(context, stream, queue));
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/metrics',
      summary: 'Metrics of all queues, in the text format of Prometheus',
      responses: { 200: { description: 'Text', content: { 'text/plain': { schema: z.string() } } }, ...problems },
    }),
    async (c) =>
      c.text(writeMetrics(await viewQueues(context, {})), 200, {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      }),
  );
};

async function theQueue(context: Context, path: z.infer<typeof queueParam>): Promise<ApiQueue> {
  const { queues, worker } = await findQueue(context, path);
  const view = await viewQueue(context, queues, worker);
  if (!view) throw new Error(`queue ${worker} vanished`);
  return view;
}

async function sizeTarget(context: Context, { queues, worker, queue }: FoundQueue): Promise<SizeTarget> {
  const environment = await theRow<EnvironmentRow>(
    context.pool,
    `select ${environmentColumns} from ${environmentTable} where environment.id = $1`,
    [queues.id],
  );
  const declared = queues.workers.get(worker);
  if (!declared) throw new Error(`worker ${worker} vanished`);
  return { environment, worker, queue, declared };
}

function viewProposal({ proposal, present, obstacle }: Proposed): ApiSizeProposal {
  const lines = proposal.verdict === 'not yet' ? [proposal.reason] : proposal.reading;
  return { proposal: { ...proposal }, present, lines: obstacle === null ? lines : [...lines, obstacle] };
}
