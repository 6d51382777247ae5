import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { EndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1/EndpointSlice';
import { CronJob } from 'kubernetes-models/batch/v1/CronJob';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { ResourceQuota } from 'kubernetes-models/v1/ResourceQuota';
import { Secret } from 'kubernetes-models/v1/Secret';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import type { KubernetesObject } from './kubernetes-object.ts';

/**
 * Holds an object against the schemas that Kubernetes and the Gateway API publish, as the models carry them.
 * @throws {Error} with every field that is not as the schema says.
 */
export function validate(object: KubernetesObject): void {
  modelOf(object).validate();
}

function modelOf(object: KubernetesObject): { validate(): void } {
  switch (object.kind) {
    case 'ConfigMap':
      return new ConfigMap(object);
    case 'CronJob':
      return new CronJob(object);
    case 'Deployment':
      return new Deployment(object);
    case 'EndpointSlice':
      return new EndpointSlice(object);
    case 'HTTPRoute':
      return new HTTPRoute(object);
    case 'HorizontalPodAutoscaler':
      return new HorizontalPodAutoscaler(object);
    case 'Ingress':
      return new Ingress(object);
    case 'Job':
      return new Job(object);
    case 'Namespace':
      return new Namespace(object);
    case 'NetworkPolicy':
      return new NetworkPolicy(object);
    case 'PodDisruptionBudget':
      return new PodDisruptionBudget(object);
    case 'ResourceQuota':
      return new ResourceQuota(object);
    case 'Secret':
      return new Secret(object);
    case 'Service':
      return new Service(object);
    case 'ServiceAccount':
      return new ServiceAccount(object);
  }
}
