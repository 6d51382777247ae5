import type { IHTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IEndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1';
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import type { ICronJob, IJob } from 'kubernetes-models/batch/v1';
import type { IIngress, INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1';
import type { IConfigMap, INamespace, IResourceQuota, ISecret, IService, IServiceAccount } from 'kubernetes-models/v1';

export interface Metadata {
  name: string;
  namespace?: string;
  labels: Record<string, string>;
  annotations?: Record<string, string>;
}

type Made<T> = T & { metadata: Metadata };

/** Every kind of object that Slipway makes. */
export type KubernetesObject =
  | Made<IConfigMap>
  | Made<ICronJob>
  | Made<IDeployment>
  | Made<IEndpointSlice>
  | Made<IHTTPRoute>
  | Made<IHorizontalPodAutoscaler>
  | Made<IIngress>
  | Made<IJob>
  | Made<INamespace>
  | Made<INetworkPolicy>
  | Made<IPodDisruptionBudget>
  | Made<IResourceQuota>
  | Made<ISecret>
  | Made<IService>
  | Made<IServiceAccount>;

/**
 * The order in which they are applied: what others refer to comes first, a migration before what needs it, and the route last.
 * Network policies and the quota come before anything that runs.
 */
export const APPLY_ORDER: readonly KubernetesObject['kind'][] = [
  'Namespace',
  'NetworkPolicy',
  'ResourceQuota',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'Job',
  'Service',
  'Deployment',
  'HorizontalPodAutoscaler',
  'PodDisruptionBudget',
  'CronJob',
  'EndpointSlice',
  'Ingress',
  'HTTPRoute',
];

/** Compares by the order of application, then by name; by code unit, so that no locale changes it. */
export function inApplyOrder(a: KubernetesObject, b: KubernetesObject): number {
  const kinds = APPLY_ORDER.indexOf(a.kind) - APPLY_ORDER.indexOf(b.kind);
  return kinds === 0 ? byText(a.metadata.name, b.metadata.name) : kinds;
}

export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A mapping with its keys in one order, whatever order they came in. */
export function sortedMap<T>(map: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => byText(a, b)));
}
