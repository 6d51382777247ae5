import { createRoute, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { listEvents } from '../events/list.ts';
import { why } from '../events/why.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { eventSchema, whySchema } from './schemas.ts';
import { streamChanges } from './stream.ts';

const filter = z.object({ app: z.string().optional(), environment: z.string().optional() });

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
      const lastEventId = Number(c.req.valid('header')['last-event-id'] ?? Number.NaN);
      c.header('X-Accel-Buffering', 'no');
      return streamSSE(c, (stream) =>
        streamChanges(context, stream, {
          wanted: c.req.valid('query'),
          after: Number.isSafeInteger(lastEventId) ? lastEventId : null,
        }),
      );
    },
  );
};
