import { createRoute, z } from '@hono/zod-openapi';
import { SlipwayError } from '@slipway/app';
import { type DeadTask, deathCauses, type TaskOptions, type TaskView } from '@slipway/queue';
import { requireRole } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { findQueue, queueParam, queuePath } from './queues.ts';
import { lane, taskSchema, taskState, type ApiTask } from './schemas.ts';

const taskParam = queueParam.extend({ id: z.string() });
const taskPath = `${queuePath}/tasks/{id}`;

const newTask = z.object({
  payload: z.unknown().meta({ description: 'Any JSON' }),
  delaySeconds: z.number().min(0).max(31_536_000).optional(),
  priority: z.int().min(-1_000_000).max(1_000_000).optional(),
  key: z.string().min(1).max(500).optional(),
  unique: z.string().min(1).max(500).optional(),
  lane: lane.optional(),
});
const newTasks = z.union([z.object({ tasks: z.array(newTask).min(1).max(1_000) }), newTask]);

/** Tasks of queues, for people: viewers read, deployers enqueue, retry and cancel. */
export const queueTaskRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: `${queuePath}/tasks`,
      summary: 'Tasks of a queue: dead ones the newest first, all others the oldest first',
      request: {
        params: queueParam,
        query: z.object({
          state: taskState.optional(),
          limit: z.coerce.number().int().min(1).max(1000).default(100),
          after: z
            .string()
            .regex(/^\d{1,18}$/)
            .optional()
            .meta({ description: 'The `next` of the page before; from there on the oldest come first' }),
        }),
      },
      responses: {
        200: json(z.object({ tasks: z.array(taskSchema), next: z.string().nullable() }), 'A page of tasks'),
        ...problems,
      },
    }),
    async (c) => {
      const { queue } = await findQueue(context, c.req.valid('param'));
      const { state, limit, after } = c.req.valid('query');
      if (state === 'dead' && after === undefined) {
        const dead = await context.tasks.dead({ kind: queue, limit });
        return c.json({ tasks: dead.map(viewDead), next: null }, 200);
      }
      const page = await context.tasks.list({
        kind: queue,
        limit,
        ...(state && { state }),
        ...(after !== undefined && { after }),
      });
      return c.json({ tasks: page.tasks.map(viewTask), next: page.next }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${queuePath}/tasks`,
      summary: 'Add one task, or up to a thousand',
      request: {
        params: queueParam,
        body: { content: { 'application/json': { schema: newTasks } }, required: true },
      },
      responses: { 201: json(z.object({ ids: z.array(z.string()) }), 'Their ids, in order'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'adding tasks');
      const { queues, queue } = await findQueue(context, c.req.valid('param'));
      const kind = queues.kinds.get(queue);
      if (!kind) throw new Error(`queue ${queue} vanished`);
      const body = c.req.valid('json');
      const tasks = 'tasks' in body ? body.tasks : [body];
      return c.json({ ids: await context.tasks.enqueueMany(kind, tasks.map(given)) }, 201);
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: taskPath,
      summary: 'One task',
      request: { params: taskParam },
      responses: { 200: json(taskSchema, 'The task'), ...problems },
    }),
    async (c) => c.json(viewTask(await findTask(context, c.req.valid('param'))), 200),
  );

  api.openapi(
    createRoute({
      method: 'delete',
      path: taskPath,
      summary: 'Cancel a task: a waiting one is gone, a running one is ended',
      request: { params: taskParam },
      responses: { 200: json(z.object({ cancelled: z.string() }), 'Its id'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'cancelling tasks');
      const task = await findTask(context, c.req.valid('param'));
      if (!(await context.tasks.cancel(task.id))) throw ended(task, 'There is nothing to cancel any more.');
      return c.json({ cancelled: task.id }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${taskPath}/retry`,
      summary: 'Make a dead task ready again, with all its retries',
      request: { params: taskParam },
      responses: { 200: json(z.object({ retried: z.int() }), 'How many: 1'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'trying tasks again');
      const task = await findTask(context, c.req.valid('param'));
      if (!(await context.tasks.redrive(task.id))) throw ended(task, 'Only a dead task can be tried again by hand.');
      return c.json({ retried: 1 }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${queuePath}/retry`,
      summary: 'Make all dead tasks ready again, or those that died of one cause',
      request: {
        params: queueParam,
        body: {
          content: {
            'application/json': {
              schema: z.object({
                cause: z.enum(deathCauses).optional(),
                limit: z.int().min(1).max(100_000).default(10_000),
              }),
            },
          },
          required: true,
        },
      },
      responses: { 200: json(z.object({ retried: z.int() }), 'How many'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'trying tasks again');
      const { queue } = await findQueue(context, c.req.valid('param'));
      const { cause, limit } = c.req.valid('json');
      return c.json({ retried: await context.tasks.redriveAll({ kind: queue, limit, ...(cause && { cause }) }) }, 200);
    },
  );
};

/** Without what was left away. */
function given({ payload, ...options }: z.infer<typeof newTask>): { payload: unknown } & TaskOptions {
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { payload: payload ?? null, ...said };
}

/** @throws {SlipwayError} `not-found`, also for tasks of other queues. */
async function findTask(context: Context, path: z.infer<typeof taskParam>): Promise<TaskView> {
  const { queue } = await findQueue(context, path);
  const task = /^\d{1,18}$/.test(path.id) ? await context.tasks.task(path.id) : null;
  if (task?.kind === queue) return task;
  throw new SlipwayError('not-found', `${queue} has no task ${path.id}.`, {
    hint: 'A task that is done is kept as long as the worker says (keep:). slipway queue show lists what there is.',
  });
}

function ended(task: TaskView, hint: string): SlipwayError {
  return new SlipwayError('conflict', `Task ${task.id} of ${task.kind} is ${task.state}.`, { hint });
}

function viewTask(task: TaskView): ApiTask {
  const { kind, batchId: _, createdAt, runAt, endedAt, ...rest } = task;
  return {
    ...rest,
    queue: kind,
    createdAt: createdAt.toISOString(),
    runAt: runAt?.toISOString() ?? null,
    finishedAt: endedAt?.toISOString() ?? null,
  };
}

function viewDead({ diedAt, ...task }: DeadTask): ApiTask {
  const absent = { progress: null, result: null, output: null, batchId: null, priority: 0 };
  return viewTask({ ...absent, ...task, state: 'dead', runAt: null, endedAt: diedAt });
}
