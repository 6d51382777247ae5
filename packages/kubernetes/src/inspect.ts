import { SlipwayError } from '@slipway/app';
import { accessTo, type ClusterCredentials } from './api/access-to.ts';
import { ApiError } from './api/api-error.ts';
import { ApiClient } from './api/client.ts';
import { isMapping, mappingsAt, valueAt } from './render/json-value.ts';
import type { Target } from './render/target.ts';
import { RIGHTS } from './rights.ts';

/** The first version with `preStop: sleep`, which images without a shell need as well. */
const OLDEST_MINOR = 30;

/** What a cluster is, as far as environments care. */
export interface ClusterReport {
  /** Of Kubernetes, such as `v1.36.2`. */
  version: string;
  nodes: number;
  /** How requests come in: what was asked for, or the only Gateway there is. */
  entrance: Target['entrance'];
  /** What works differently there than elsewhere, a sentence each. */
  notes: string[];
}

/**
 * Asks a cluster whether environments can run there, and changes nothing.
 *
 * @param asked.entrance how requests come in; without it the cluster has to have one Gateway.
 * @throws {SlipwayError} `mistake` when it is too old, lacks an entrance, or the credentials lack a right; `denied` when it does not know them;
 *   `transient` when it does not answer.
 */
export async function inspectCluster(
  credentials: ClusterCredentials,
  asked: { entrance?: Target['entrance'] | undefined },
): Promise<ClusterReport> {
  const client = new ApiClient(await accessTo(credentials));
  try {
    const version = await versionOf(client);
    await requireRights(client);
    const [nodes, entrance, metrics] = await Promise.all([
      client.get<unknown>('/api/v1/nodes?limit=5000'),
      entranceOf(client, asked.entrance),
      exists(client, '/apis/metrics.k8s.io/v1beta1'),
    ]);
    return {
      version,
      nodes: mappingsAt(nodes, 'items').length,
      entrance: entrance.is,
      notes: [
        ...entrance.notes,
        ...(metrics
          ? []
          : ['There is no metrics.k8s.io (metrics-server): services with a range of replicas stay at the fewest.']),
      ],
    };
  } finally {
    await client.close();
  }
}

async function versionOf(client: ApiClient): Promise<string> {
  const answer = await client.get<unknown>('/version');
  const version = String(valueAt(answer, 'gitVersion'));
  const [, major = '0', minor = '0'] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  if (Number(major) > 1 || Number(minor) >= OLDEST_MINOR) return version;
  throw new SlipwayError('mistake', `The cluster has Kubernetes ${version}.`, {
    hint: `Upgrade it to 1.${OLDEST_MINOR} or newer first.`,
  });
}

async function requireRights(client: ApiClient): Promise<void> {
  const wanted = RIGHTS.filter((right) => right.for === 'engine').flatMap(({ verbs, apiGroups, resources }) =>
    apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => ({ verb, group, resource })))),
  );
  const answers = await Promise.all(
    wanted.map(async (right) => {
      const answer = await client.create<unknown>('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: right },
      });
      return valueAt(answer, 'status', 'allowed') === true ? [] : [`${right.verb} ${right.resource}`];
    }),
  );
  const lacking = answers.flat();
  if (lacking.length === 0) return;
  throw new SlipwayError('mistake', `The credentials may not: ${lacking.join(', ')}.`, {
    hint: 'Give them the ClusterRole that `slipway install` prints, or use other ones.',
  });
}

async function entranceOf(
  client: ApiClient,
  asked: Target['entrance'] | undefined,
): Promise<{ is: Target['entrance']; notes: string[] }> {
  if (asked?.kind === 'ingress') {
    if (await exists(client, `/apis/networking.k8s.io/v1/ingressclasses/${asked.className}`))
      return {
        is: asked,
        notes: ['Through an Ingress, traffic moves from one release to the next at once: it has no weights.'],
      };
    throw new SlipwayError('mistake', `The cluster has no ingress class ${asked.className}.`, {
      hint: `It has: ${(await namesOf(client, '/apis/networking.k8s.io/v1/ingressclasses')).join(', ') || 'none'}.`,
    });
  }
  if (!(await exists(client, '/apis/gateway.networking.k8s.io/v1')))
    throw new SlipwayError('mistake', 'The cluster has no Gateway API.', {
      hint: 'Name its ingress controller: --ingress NAMESPACE/CLASS. Or install a Gateway controller.',
    });
  const gateways = mappingsAt(await client.get<unknown>('/apis/gateway.networking.k8s.io/v1/gateways'), 'items').map(
    (one) => ({
      kind: 'gateway' as const,
      namespace: String(valueAt(one, 'metadata', 'namespace')),
      name: String(valueAt(one, 'metadata', 'name')),
    }),
  );
  if (asked !== undefined) {
    if (gateways.some(({ namespace, name }) => namespace === asked.namespace && name === asked.name))
      return { is: asked, notes: [] };
    throw new SlipwayError('mistake', `The cluster has no Gateway ${asked.namespace}/${asked.name}.`, {
      hint: `It has: ${gateways.map(({ namespace, name }) => `${namespace}/${name}`).join(', ') || 'none'}.`,
    });
  }
  const [only, ...others] = gateways;
  if (only !== undefined && others.length === 0) return { is: only, notes: [] };
  throw new SlipwayError('mistake', `The cluster has ${gateways.length} Gateways.`, {
    hint:
      only === undefined
        ? 'Make one, or name an ingress controller: --ingress NAMESPACE/CLASS.'
        : `Name the one by which requests come in: --gateway ${only.namespace}/${only.name}`,
  });
}

async function namesOf(client: ApiClient, path: string): Promise<string[]> {
  return mappingsAt(await client.get<unknown>(path), 'items').flatMap((one) =>
    isMapping(one) ? [String(valueAt(one, 'metadata', 'name'))] : [],
  );
}

async function exists(client: ApiClient, path: string): Promise<boolean> {
  try {
    await client.get(path);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
}
