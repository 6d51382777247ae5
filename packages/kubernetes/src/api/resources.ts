/** Where objects of a kind are in the API. */
export interface Resource {
  kind: string;
  apiVersion: string;
  plural: string;
  scope: 'namespace' | 'cluster';
}

const RESOURCES = [
  ['Namespace', 'v1', 'namespaces', 'cluster'],
  ['Node', 'v1', 'nodes', 'cluster'],
  ['Pod', 'v1', 'pods', 'namespace'],
  ['Event', 'v1', 'events', 'namespace'],
  ['ConfigMap', 'v1', 'configmaps', 'namespace'],
  ['Secret', 'v1', 'secrets', 'namespace'],
  ['Service', 'v1', 'services', 'namespace'],
  ['ServiceAccount', 'v1', 'serviceaccounts', 'namespace'],
  ['ResourceQuota', 'v1', 'resourcequotas', 'namespace'],
  ['Deployment', 'apps/v1', 'deployments', 'namespace'],
  ['Job', 'batch/v1', 'jobs', 'namespace'],
  ['CronJob', 'batch/v1', 'cronjobs', 'namespace'],
  ['HorizontalPodAutoscaler', 'autoscaling/v2', 'horizontalpodautoscalers', 'namespace'],
  ['PodDisruptionBudget', 'policy/v1', 'poddisruptionbudgets', 'namespace'],
  ['NetworkPolicy', 'networking.k8s.io/v1', 'networkpolicies', 'namespace'],
  ['Ingress', 'networking.k8s.io/v1', 'ingresses', 'namespace'],
  ['EndpointSlice', 'discovery.k8s.io/v1', 'endpointslices', 'namespace'],
  ['Gateway', 'gateway.networking.k8s.io/v1', 'gateways', 'namespace'],
  ['HTTPRoute', 'gateway.networking.k8s.io/v1', 'httproutes', 'namespace'],
] as const;

export type Kind = (typeof RESOURCES)[number][0];

const BY_KIND = new Map<string, Resource>(
  RESOURCES.map(([kind, apiVersion, plural, scope]) => [kind, { kind, apiVersion, plural, scope }]),
);

export function resourceOf(kind: string): Resource {
  const found = BY_KIND.get(kind);
  if (!found) throw new Error(`no resource of kind ${kind}`);
  return found;
}

/** @param namespace Left out: of the whole cluster. */
export function collectionPath(kind: Kind, namespace?: string): string {
  const { apiVersion, plural } = resourceOf(kind);
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
}

/** @param namespace null for what belongs to the whole cluster. */
export function objectPath(kind: Kind, namespace: string | null, name: string): string {
  return `${collectionPath(kind, namespace ?? undefined)}/${name}`;
}

export function isKind(kind: string): kind is Kind {
  return BY_KIND.has(kind);
}
