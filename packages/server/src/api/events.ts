import { createRoute, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { viewEnvironments } from '../environments/view.ts';
import { viewEvent, listEvents } from '../events/list.ts';
import { why } from '../events/why.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { eventSchema, whySchema } from './schemas.ts';

const filter = z.object({ app: z.string().optional(), environment: z.string().optional() });

/** Seconds between comments on a silent stream, so that proxies and clients know it lives. */
const keepAliveSeconds = 25;

/** What happened, what is, and why. */
export const eventRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/events',
      summary: 'Events, oldest first',
      request: {
        query: filter.extend({
          commit: z.string().optional(),
          after: z.coerce.number().int().min(0).optional().meta({ description: 'Only events with a greater id' }),
          limit: z.coerce.number().int().min(1).max(1000).default(100),
        }),
      },
      responses: {
        200: json(z.object({ events: z.array(eventSchema) }), 'The newest `limit` events, oldest first'),
        ...problems,
      },
    }),
    async (c) => c.json({ events: await listEvents(context, c.req.valid('query')) }, 200),
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/why',
      summary: 'One timeline for any thing: what happened, what is awaited, what would unblock it',
      request: { query: z.object({ thing: z.string().min(1) }) },
      responses: { 200: json(whySchema, 'The timeline'), ...problems },
    }),
    async (c) => c.json(await why(context, c.req.valid('query').thing), 200),
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/stream',
      summary: 'Environments as they are, then every change and event, as server-sent events',
      request: { query: filter, headers: z.object({ 'last-event-id': z.string().optional() }) },
      responses: {
        200: {
          description: 'text/event-stream of `environment`, `synced`, `event`, `removed`',
          content: { 'text/event-stream': { schema: z.string() } },
        },
        ...problems,
      },
    }),
    (c) => {
      const wanted = c.req.valid('query');
      const lastEventId = Number(c.req.valid('header')['last-event-id'] ?? Number.NaN);
      c.header('X-Accel-Buffering', 'no');
      return streamSSE(c, async (stream) => {
        const outbox: (() => Promise<void>)[] = [];
        let wake: (() => void) | null = null;
        const pending = new Set<string>();
        const push = (send: () => Promise<void>): void => {
          outbox.push(send);
          wake?.();
        };
        const sendEnvironment = async (id: string): Promise<void> => {
          // Changes that came while it was waiting to be sent are in what is read now.
          pending.delete(id);
          const [view] = await viewEnvironments(context, { ids: [id] });
          if (view) {
            names.set(id, { app: view.app, environment: view.environment });
            if (matches(wanted, view)) await stream.writeSSE({ event: 'environment', data: JSON.stringify(view) });
          } else {
            const name = names.get(id);
            names.delete(id);
            if (name && matches(wanted, name)) await stream.writeSSE({ event: 'removed', data: JSON.stringify(name) });
          }
        };
        const names = new Map<string, { app: string; environment: string }>();
        const changed = (id: string): void => {
          if (pending.has(id)) return;
          pending.add(id);
          push(() => sendEnvironment(id));
        };
        const offEnvironment = context.changes.onEnvironment(changed);
        const offEvent = context.changes.onEvent((event) => {
          if (!matches(wanted, { app: event.app, environment: event.environment })) return;
          push(() => stream.writeSSE({ id: String(event.id), event: 'event', data: JSON.stringify(viewEvent(event)) }));
        });
        const keepAlive = setInterval(
          () => push(async () => void (await stream.write(': alive\n\n'))),
          keepAliveSeconds * 1000,
        );
        stream.onAbort(() => wake?.());
        try {
          if (Number.isSafeInteger(lastEventId))
            for (const event of await listEvents(context, { ...wanted, after: lastEventId, limit: 1000 }))
              await stream.writeSSE({ id: String(event.id), event: 'event', data: JSON.stringify(event) });
          const ids = await context.pool.query<{ id: string }>(
            `select environment.id from environment join app on app.id = environment.app_id where removal <> 'removed' and ($1::text is null or app.name = $1)`,
            [wanted.app ?? null],
          );
          for (const { id } of ids.rows) await sendEnvironment(id);
          await stream.writeSSE({ event: 'synced', data: '{}' });
          while (!stream.aborted && !stream.closed) {
            const send = outbox.shift();
            if (send) await send();
            else
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
          }
        } finally {
          clearInterval(keepAlive);
          offEnvironment();
          offEvent();
        }
      });
    },
  );
};

function matches(wanted: z.infer<typeof filter>, found: { app: string | null; environment: string | null }): boolean {
  return (
    (wanted.app === undefined || wanted.app === found.app) &&
    (wanted.environment === undefined || wanted.environment === found.environment)
  );
}
