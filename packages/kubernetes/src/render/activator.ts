import type { Plan } from '@slipway/engine';
import type { KubernetesObject } from './kubernetes-object.ts';
import type { Owner } from './owner.ts';
import { metadata } from './owner.ts';
import type { Target } from './target.ts';

/** Service in an environment's namespace that leads to Slipway's activator. */
export const ACTIVATOR = 'slipway-activator';
const PORT = 80;

/** Whether requests of the environment go through the activator, which tells that nobody asks for anything, and holds what has to wait. */
export function sleeps({ activator, entrance }: Target, { sleepSeconds }: Plan): boolean {
  return activator !== undefined && entrance.kind === 'gateway' && sleepSeconds !== null;
}

/** A Service without pods of its own: a route may name services of its namespace only, and this one's address is elsewhere. */
export function activatorObjects(owner: Owner, { activator }: Target): KubernetesObject[] {
  if (activator === undefined) return [];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata(owner, ACTIVATOR),
      spec: { ports: [{ name: 'http', port: PORT, targetPort: activator.port, protocol: 'TCP' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: metadata(owner, ACTIVATOR, {
        labels: { 'kubernetes.io/service-name': ACTIVATOR, 'endpointslice.kubernetes.io/managed-by': 'slipway' },
      }),
      addressType: activator.address.includes(':') ? 'IPv6' : 'IPv4',
      ports: [{ name: 'http', port: activator.port, protocol: 'TCP' }],
      endpoints: [{ addresses: [activator.address], conditions: { ready: true } }],
    },
  ];
}

export const ACTIVATOR_BACKEND = { name: ACTIVATOR, port: PORT };
