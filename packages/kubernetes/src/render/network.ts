import type { Plan, PlannedService } from '@slipway/engine';
import type {
  INetworkPolicyEgressRule,
  INetworkPolicyIngressRule,
  INetworkPolicySpec,
} from 'kubernetes-models/networking.k8s.io/v1';
import type { KubernetesObject } from './kubernetes-object.ts';
import { byText, sortedMap } from './kubernetes-object.ts';
import type { Owner } from './owner.ts';
import { metadata } from './owner.ts';
import { serviceSelector } from './release-part.ts';
import { sleeps } from './activator.ts';
import { servicePort } from './service.ts';
import type { Target } from './target.ts';

export const DEFAULT_DENY = 'default-deny';

const NAMESPACE_NAME = 'kubernetes.io/metadata.name';
/** Where clusters, their machines and their metadata services are: RFC 1918, RFC 6598 (pods of some clouds), link-local addresses. */
const PRIVATE_V4 = ['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'];
const PRIVATE_V6 = ['fc00::/7', 'fe80::/10'];
/** Where the node-local DNS cache of kubernetes/kubernetes cluster/addons/dns/nodelocaldns listens. */
const NODE_LOCAL_DNS = '169.254.20.10/32';

/**
 * Who may talk to whom. First nobody; then names can be looked up, the internet and the control plane's queues be reached, and each service
 * be reached by the gateway, if it has a route, and by those that name it in `needs`.
 */
export function networkPolicies(owner: Owner, target: Target, plan: Plan): KubernetesObject[] {
  const policy = (name: string, spec: INetworkPolicySpec): KubernetesObject => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadata(owner, name),
    spec,
  });
  const outgoing = (name: string, egress: INetworkPolicyEgressRule[]): KubernetesObject =>
    policy(name, { podSelector: {}, policyTypes: ['Egress'], egress });
  const services = servicesOf(plan);
  const hasQueues = plan.releases.some(({ workers }) => workers.length > 0);
  return [
    policy(DEFAULT_DENY, { podSelector: {}, policyTypes: ['Egress', 'Ingress'] }),
    outgoing('allow-dns', [dns()]),
    outgoing('allow-internet', [internet(target)]),
    ...(hasQueues ? [outgoing('allow-slipway', [{ to: [inNamespace(target.controlPlaneNamespace)] }])] : []),
    ...[...services.values()].flatMap((service) => {
      const spec = peerRules(owner, target, service, services, sleeps(target, plan) ? 'sleeps' : 'stays');
      return spec === null ? [] : [policy(`service-${service.name}`, spec)];
    }),
  ];
}

/** Services of all releases by name; of several, the newest says who reaches it, and older ones add to that. */
function servicesOf(plan: Plan): Map<string, Merged> {
  const merged = new Map<string, Merged>();
  for (const service of plan.releases.flatMap(({ services }) => services)) {
    const before = merged.get(service.name);
    merged.set(service.name, {
      name: service.name,
      ports: new Set([...(before?.ports ?? []), servicePort(service)]),
      needs: new Set([...(before?.needs ?? []), ...service.needs]),
      routed: before?.routed === 'yes' || service.route !== null ? 'yes' : 'no',
    });
  }
  return new Map([...merged].sort(([a], [b]) => byText(a, b)));
}

interface Merged extends Pick<PlannedService, 'name'> {
  ports: Set<number>;
  needs: Set<string>;
  routed: 'yes' | 'no';
}

/** @returns null when nobody reaches the service and it reaches nobody. */
function peerRules(
  owner: Owner,
  target: Target,
  service: Merged,
  services: ReadonlyMap<string, Merged>,
  mode: 'sleeps' | 'stays',
): INetworkPolicySpec | null {
  const podsOf = (name: string) => ({
    podSelector: { matchLabels: sortedMap(serviceSelector(owner, { component: 'service', name })) },
  });
  const callers = [...services.values()].filter(({ needs }) => needs.has(service.name));
  const from = [
    ...(service.routed === 'yes' ? entrances(target, mode) : []),
    ...callers.map(({ name }) => podsOf(name)),
  ];
  const ingress: INetworkPolicyIngressRule[] = from.length === 0 ? [] : [{ from, ports: ports(service) }];
  const egress: INetworkPolicyEgressRule[] = [...service.needs].sort(byText).flatMap((name) => {
    const needed = services.get(name);
    return needed ? [{ to: [podsOf(name)], ports: ports(needed) }] : [];
  });
  const rules = { ...(ingress.length > 0 && { ingress }), ...(egress.length > 0 && { egress }) };
  if (ingress.length === 0 && egress.length === 0) return null;
  return {
    ...podsOf(service.name),
    policyTypes: [
      ...(egress.length > 0 ? ['Egress' as const] : []),
      ...(ingress.length > 0 ? ['Ingress' as const] : []),
    ],
    ...rules,
  };
}

/** Who brings requests from outside: the gateway, and in front of what may sleep the activator. */
function entrances({ entrance, controlPlaneNamespace, activator }: Target, mode: 'sleeps' | 'stays') {
  const blocks = entrance.kind === 'gateway' ? (entrance.sources ?? []) : [];
  return [
    inNamespace(entrance.namespace),
    ...[...blocks].sort(byText).map((cidr) => ({ ipBlock: { cidr } })),
    ...(mode === 'sleeps' ? [inNamespace(controlPlaneNamespace)] : []),
    ...(mode === 'sleeps' && activator !== undefined ? [{ ipBlock: { cidr: hostNetwork(activator.address) } }] : []),
  ];
}

function hostNetwork(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

function ports(service: Merged) {
  return [...service.ports].sort((a, b) => a - b).map((port) => ({ port, protocol: 'TCP' as const }));
}

function inNamespace(name: string) {
  return { namespaceSelector: { matchLabels: { [NAMESPACE_NAME]: name } } };
}

function dns(): INetworkPolicyEgressRule {
  return {
    to: [
      { ...inNamespace('kube-system'), podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } },
      { ipBlock: { cidr: NODE_LOCAL_DNS } },
    ],
    ports: [
      { port: 53, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
    ],
  };
}

function internet({ reach }: Target): INetworkPolicyEgressRule {
  return {
    to: [
      { ipBlock: { cidr: '0.0.0.0/0', except: PRIVATE_V4 } },
      { ipBlock: { cidr: '::/0', except: PRIVATE_V6 } },
      ...[...reach].sort(byText).map((cidr) => ({ ipBlock: { cidr } })),
    ],
  };
}
