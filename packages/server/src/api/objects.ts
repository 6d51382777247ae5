import { createRoute, z } from '@hono/zod-openapi';
import { SlipwayError } from '@slipway/app';
import { requireRole } from '../access/tokens.ts';
import { differenceOf } from '../rollouts/preview-plan.ts';
import { environmentParam } from './deliveries.ts';
import { findEnvironment } from './find.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { differenceSchema, protectionSchema } from './schemas.ts';

/** The objects that an engine makes of plans. */
export const objectRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/apps/{app}/environments/{environment}/diff',
      summary: 'What deploying a commit would change in the cluster; nothing is written',
      request: { params: environmentParam, query: z.object({ commit: z.string().optional() }) },
      responses: { 200: json(differenceSchema, 'The changes'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'comparing with the cluster');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      return c.json(await differenceOf(context, found, c.req.valid('query').commit ?? null), 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: '/api/apps/{app}/environments/{environment}/protection/verify',
      summary: 'Try, in a dry run, to delete a protected environment behind the back of Slipway',
      request: { params: environmentParam },
      responses: { 200: json(protectionSchema, 'What the cluster said'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'deployer', 'trying the protection');
      const { app, environment } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      const { engine } = context.engines.of(found);
      if (engine.verifyProtection === undefined)
        throw new SlipwayError(
          'mistake',
          `${found.name} runs on the engine ${engine.name}, where nobody else deletes it.`,
          {
            hint: 'Slipway itself wants the name of a protected environment typed before it removes it.',
          },
        );
      const result = await engine.verifyProtection(`${app}/${found.name}`);
      return c.json({ declared: found.policy.protected, ...result }, 200);
    },
  );
};
