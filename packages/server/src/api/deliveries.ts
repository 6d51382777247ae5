import { createRoute, z } from '@hono/zod-openapi';
import { requireRole } from '../access/tokens.ts';
import { askToRemove } from '../environments/remove.ts';
import { viewApps, viewEnvironments, viewRollout } from '../environments/view.ts';
import { listReleases } from '../releases/list.ts';
import { approve } from '../rollouts/approval.ts';
import { requestCancel, requestDeploy, requestPromotion, requestRollback } from '../rollouts/requests.ts';
import { findApp, findEnvironment, findRollout } from './find.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { appSchema, environmentSchema, releaseSchema, rolloutSchema } from './schemas.ts';

const appParam = z.object({ app: z.string().meta({ description: 'Name of the app' }) });
export const environmentParam = appParam.extend({
  environment: z.string().meta({ description: 'Name of the environment, or the branch of a pull request' }),
});
const environmentPath = '/api/apps/{app}/environments/{environment}';

/** Apps, environments, releases, and what moves them. */
export const deliveryRoutes: RouteGroup = (api, context, origin) => {
  const cloneUrl = (request: Request) => (app: string) => `${origin(request)}/git/${app}.git`;

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/apps',
      summary: 'All apps with their environments',
      responses: { 200: json(z.object({ apps: z.array(appSchema) }), 'The apps'), ...problems },
    }),
    async (c) => c.json({ apps: await viewApps(context, {}, cloneUrl(c.req.raw)) }, 200),
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/apps/{app}',
      summary: 'One app with its environments',
      request: { params: appParam },
      responses: { 200: json(appSchema, 'The app'), ...problems },
    }),
    async (c) => {
      const { name } = await findApp(context, c.req.valid('param').app);
      const [app] = await viewApps(context, { app: name }, cloneUrl(c.req.raw));
      if (!app) throw new Error(`app ${name} vanished`);
      return c.json(app, 200);
    },
  );

  const oneEnvironment = async (id: string) => {
    const [view] = await viewEnvironments(context, { ids: [id] });
    if (!view) throw new Error(`environment ${id} vanished`);
    return view;
  };

  api.openapi(
    createRoute({
      method: 'get',
      path: environmentPath,
      summary: 'One environment',
      request: { params: environmentParam },
      responses: { 200: json(environmentSchema, 'The environment'), ...problems },
    }),
    async (c) => {
      const { app, environment } = c.req.valid('param');
      return c.json(await oneEnvironment((await findEnvironment(context, app, environment)).id), 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'delete',
      path: environmentPath,
      summary: 'Remove an environment',
      request: {
        params: environmentParam,
        query: z.object({
          confirm: z.string().optional().meta({ description: 'The name, typed: needed for all but previews' }),
        }),
      },
      responses: { 202: json(environmentSchema, 'It is being removed'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      requireRole(identity, found.kind === 'pull-request' ? 'deployer' : 'admin', `removing ${found.name}`);
      await askToRemove(context, found, identity.name, c.req.valid('query').confirm ?? null);
      return c.json(await oneEnvironment(found.id), 202);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${environmentPath}/deploy`,
      summary: 'Deploy a commit',
      request: {
        params: environmentParam,
        body: { content: { 'application/json': { schema: z.object({ commit: z.string().min(1) }) } }, required: true },
      },
      responses: { 202: json(rolloutSchema, 'The rollout that does it'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'deployer', 'deploying');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      return c.json(viewRollout(await requestDeploy(context, found, c.req.valid('json').commit, identity)), 202);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${environmentPath}/promote`,
      summary: 'Promote what the environment it is `from` runs',
      request: {
        params: environmentParam,
      },
      responses: { 202: json(rolloutSchema, 'The rollout that does it'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'deployer', 'promoting');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      return c.json(viewRollout(await requestPromotion(context, found, identity)), 202);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: `${environmentPath}/rollback`,
      summary: 'Go back to an earlier release',
      request: {
        params: environmentParam,
        body: { content: { 'application/json': { schema: z.object({ to: z.int().positive().optional() }) } } },
      },
      responses: { 202: json(rolloutSchema, 'The rollout that does it'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'deployer', 'rolling back');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      return c.json(viewRollout(await requestRollback(context, found, c.req.valid('json').to ?? null, identity)), 202);
    },
  );

  const rolloutParam = z.object({ id: z.string() });
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/rollouts/{id}',
      summary: 'One rollout',
      request: { params: rolloutParam },
      responses: { 200: json(rolloutSchema, 'The rollout'), ...problems },
    }),
    async (c) => c.json(viewRollout(await findRollout(context, c.req.valid('param').id)), 200),
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: '/api/rollouts/{id}/approve',
      summary: 'Approve a waiting rollout',
      request: { params: rolloutParam },
      responses: { 202: json(rolloutSchema, 'The rollout'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'approving');
      const rollout = await findRollout(context, c.req.valid('param').id);
      return c.json(viewRollout(await approve(context, rollout, identity.name)), 202);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: '/api/rollouts/{id}/cancel',
      summary: 'Cancel a rollout',
      request: { params: rolloutParam },
      responses: { 202: json(rolloutSchema, 'The rollout'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'deployer', 'cancelling a rollout');
      const rollout = await findRollout(context, c.req.valid('param').id);
      return c.json(viewRollout(await requestCancel(context, rollout, identity)), 202);
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/apps/{app}/releases',
      summary: 'Releases of an app, newest first',
      request: {
        params: appParam,
        query: z.object({
          environment: z.string().optional(),
          limit: z.coerce.number().int().min(1).max(1000).default(50),
        }),
      },
      responses: { 200: json(z.object({ releases: z.array(releaseSchema) }), 'The releases'), ...problems },
    }),
    async (c) => {
      const app = await findApp(context, c.req.valid('param').app);
      const { environment, limit } = c.req.valid('query');
      return c.json({ releases: await listReleases(context, app, environment ?? null, limit) }, 200);
    },
  );
};
