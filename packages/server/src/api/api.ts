import { serveStatic } from '@hono/node-server/serve-static';
import { OpenAPIHono } from '@hono/zod-openapi';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { SlipwayError } from '@slipway/app';
import { identify } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { clusterRoutes } from './clusters.ts';
import { deliveryRoutes } from './deliveries.ts';
import { eventRoutes } from './events.ts';
import { objectRoutes } from './objects.ts';
import { problemOf, problemResponse, type Api, type ApiEnvironmentVariables } from './http.ts';
import { queueTaskRoutes } from './queue-tasks.ts';
import { queueRoutes } from './queues.ts';
import { runningRoutes } from './running.ts';
import { tokenRoutes } from './tokens.ts';

export interface ApiOptions {
  version: string;
  /** Folder of the dashboard's built files; null: there is no dashboard here. */
  dashboardFolder: string | null;
}

const sessionCookie = 'slipway_session';
const sessionSeconds = 30 * 24 * 3600;

/**
 * The HTTP face of the control plane: sessions, the routes in their groups, the OpenAPI document made from those, and the dashboard's files.
 */
export function createApi(context: Context, options: ApiOptions): Api {
  const api = new OpenAPIHono<ApiEnvironmentVariables>({
    defaultHook: (result) => {
      if (result.success) return;
      const issue = result.error.issues[0];
      throw new SlipwayError(
        'mistake',
        `${issue?.path.join('.') || 'the request'}: ${issue?.message ?? 'is not valid'}`,
        {
          hint: 'GET /openapi.json describes every request.',
        },
      );
    },
  });
  api.onError((error, c) => problemResponse(c, problemOf(error, context.log)));
  api.get('/healthz', (c) => c.json({ status: 'ok' }));

  api.use('/api/*', async (c, next) => {
    const isSession = c.req.path === '/api/session';
    const bearer = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    const cookie = getCookie(c, sessionCookie);
    // SameSite keeps the cookie from other sites; this keeps old browsers from it as well.
    const foreign = !bearer && c.req.method !== 'GET' && c.req.header('sec-fetch-site') === 'cross-site';
    if (foreign)
      return problemResponse(c, {
        title: 'Another site sent this request with the cookie of your browser.',
        status: 403,
        kind: 'denied',
        hint: 'Use the dashboard itself, or send a token as "Authorization: Bearer TOKEN".',
      });
    if (isSession) return await next();
    const identity = await identify(context.pool, bearer ?? cookie ?? null);
    if (!identity) {
      const [title, hint] =
        (bearer ?? cookie)
          ? ['This token is not known here, or was revoked.', 'Ask an admin for a new one, then: slipway login URL']
          : [
              'A token is needed.',
              'Send it as "Authorization: Bearer TOKEN"; slipway login URL keeps one for the command line.',
            ];
      return problemResponse(c, { title, status: 401, kind: 'denied', hint });
    }
    c.set('identity', identity);
    await next();
  });

  api.post('/api/session', async (c) => {
    const body = await c.req.json<{ token?: unknown }>().catch(() => ({ token: null }));
    const token = typeof body.token === 'string' ? body.token.trim() : null;
    const identity = await identify(context.pool, token);
    if (!identity || !token)
      return problemResponse(c, {
        title: 'This token is not known here, or was revoked.',
        status: 401,
        kind: 'denied',
        hint: 'Use the one that slipway up printed, or ask an admin for one.',
      });
    setCookie(c, sessionCookie, token, {
      httpOnly: true,
      sameSite: 'Strict',
      path: '/',
      maxAge: sessionSeconds,
      secure: new URL(c.req.url).protocol === 'https:',
    });
    return c.body(null, 204);
  });
  api.delete('/api/session', (c) => {
    deleteCookie(c, sessionCookie, { path: '/' });
    return c.body(null, 204);
  });

  const origin = (request: Request): string => new URL(request.url).origin;
  for (const group of [
    clusterRoutes,
    deliveryRoutes,
    eventRoutes,
    objectRoutes,
    queueRoutes,
    queueTaskRoutes,
    runningRoutes,
    tokenRoutes,
  ])
    group(api, context, origin);

  api.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer' });
  api.doc31('/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'Slipway',
      version: options.version,
      description: 'Errors are application/problem+json (RFC 9457).',
    },
    security: [{ token: [] }],
  });
  api.all('/api/*', () => {
    throw new SlipwayError('not-found', 'There is no such address in the API.', {
      hint: 'GET /openapi.json lists them all.',
    });
  });

  if (options.dashboardFolder !== null) serveDashboard(api, options.dashboardFolder);
  return api;
}

function serveDashboard(api: Api, folder: string): void {
  api.use('*', async (c, next) => {
    await next();
    c.header('content-security-policy', "default-src 'self'; frame-ancestors 'none'");
    c.header('referrer-policy', 'no-referrer');
    c.header('x-content-type-options', 'nosniff');
    // Names of assets hold a hash of their content.
    c.header('cache-control', c.req.path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache');
  });
  api.get('*', serveStatic({ root: folder }));
  api.get('*', serveStatic({ root: folder, path: 'index.html' }));
}
