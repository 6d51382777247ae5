import { createRoute, z } from '@hono/zod-openapi';
import { createToken, listTokens, requireRole, revokeToken } from '../access/tokens.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { createdTokenSchema, role, tokenSchema } from './schemas.ts';

/** Who may do what. */
export const tokenRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/me',
      summary: 'Whose token this is',
      responses: { 200: json(z.object({ name: z.string(), role }), 'Name and role of the token'), ...problems },
    }),
    (c) => {
      const { name, role: own } = c.get('identity');
      return c.json({ name, role: own }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/tokens',
      summary: 'All tokens, without their text',
      responses: { 200: json(z.object({ tokens: z.array(tokenSchema) }), 'The tokens'), ...problems },
    }),
    async (c) => {
      requireRole(c.get('identity'), 'admin', 'listing tokens');
      return c.json({ tokens: await listTokens(context.pool) }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: '/api/tokens',
      summary: 'Make a token',
      request: {
        body: {
          content: { 'application/json': { schema: z.object({ name: z.string().min(1).max(100), role }) } },
          required: true,
        },
      },
      responses: { 201: json(createdTokenSchema, 'The token; its text is shown once'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'making tokens');
      return c.json(await createToken(context.pool, c.req.valid('json'), identity.name), 201);
    },
  );

  api.openapi(
    createRoute({
      method: 'delete',
      path: '/api/tokens/{id}',
      summary: 'Revoke a token',
      request: { params: z.object({ id: z.string() }) },
      responses: { 204: { description: 'It opens nothing any more' }, ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'revoking tokens');
      await revokeToken(context.pool, c.req.valid('param').id, identity.name);
      return c.body(null, 204);
    },
  );
};
