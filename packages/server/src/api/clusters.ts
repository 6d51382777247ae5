import { createRoute, z } from '@hono/zod-openapi';
import { requireRole } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { addCluster, listClusters, removeCluster } from '../environments/clusters.ts';
import { json, problems, type RouteGroup } from './http.ts';
import { clusterNameSchema, clusterReportSchema, clusterSchema, clusterSettingsSchema } from './schemas.ts';

const nameParam = z.object({ name: clusterNameSchema });

/** Kubernetes clusters that environments may name as their engine. */
export const clusterRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/clusters',
      summary: 'All clusters, without their credentials',
      responses: { 200: json(z.object({ clusters: z.array(clusterSchema) }), 'The clusters'), ...problems },
    }),
    async (c) => c.json({ clusters: await viewClusters(context) }, 200),
  );

  api.openapi(
    createRoute({
      method: 'put',
      path: '/api/clusters/{name}',
      summary: 'Add a cluster, or change what is known of it',
      request: {
        params: nameParam,
        body: {
          content: {
            'application/json': {
              schema: z.object({
                /** One that needs no file beside it; null: the cluster that the control plane runs in. */
                kubeconfig: z.string().max(200_000).nullable(),
                settings: clusterSettingsSchema,
              }),
            },
          },
          required: true,
        },
      },
      responses: { 200: json(clusterReportSchema, 'What the cluster is, and what to know about it'), ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'adding clusters');
      const { name } = c.req.valid('param');
      return c.json(await addCluster(context.pool, { name, ...c.req.valid('json') }, identity.name), 200);
    },
  );

  api.openapi(
    createRoute({
      method: 'delete',
      path: '/api/clusters/{name}',
      summary: 'Forget a cluster; what is in it stays',
      request: { params: nameParam },
      responses: { 204: { description: 'No environment may name it any more' }, ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'admin', 'removing clusters');
      await removeCluster(context.pool, c.req.valid('param').name, identity.name);
      return c.body(null, 204);
    },
  );
};

async function viewClusters({ pool, engines }: Context): Promise<z.infer<typeof clusterSchema>[]> {
  const clusters = await listClusters(pool);
  return clusters.map(({ name, kubeconfig, settings, addedBy, addedAt }) => {
    const fleet = engines.named(name)?.fleet ?? null;
    return {
      name,
      access: kubeconfig === null ? 'in-cluster' : 'kubeconfig',
      settings,
      state: fleet?.connected === true ? 'connected' : 'unreachable',
      unreachableSince: fleet?.goneSince?.toISOString() ?? null,
      environments: fleet?.environments().toSorted() ?? [],
      addedBy,
      addedAt: addedAt.toISOString(),
    };
  });
}
