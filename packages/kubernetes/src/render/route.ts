import { SlipwayError } from '@slipway/app';
import type { IHTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import type { Plan, PlannedService } from '@slipway/engine';
import { ACTIVATOR_BACKEND, sleeps } from './activator.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { byText, sortedMap } from './kubernetes-object.ts';
import { labelOf } from './names.ts';
import { metadata } from './owner.ts';
import type { Process, ReleasePart } from './release-part.ts';
import { processName, serviceSelector } from './release-part.ts';
import { servicePort } from './service.ts';
import type { Gateway, IngressController } from './target.ts';

type IHTTPRouteRule = NonNullable<NonNullable<IHTTPRoute['spec']>['rules']>[number];

/** One release that has the service, with its share of the requests. */
interface Backend {
  part: ReleasePart;
  service: PlannedService;
  route: string;
}

/**
 * A route for each service that has one in any release with requests. Nothing is routed where no release has any.
 *
 * @throws {SlipwayError} `mistake` when there is no host: such a route would take the requests of every host of the gateway.
 */
export function routes(plan: Plan, parts: readonly ReleasePart[], probe: string | null = null): KubernetesObject[] {
  const backends = parts.flatMap((part) =>
    part.release.services.flatMap((service): Backend[] =>
      service.route === null || part.release.weight === 0 ? [] : [{ part, service, route: service.route }],
    ),
  );
  if (backends.length === 0) return [];
  if (plan.hosts.length === 0)
    throw new SlipwayError('mistake', `${plan.environment} has a service with a route, but no host name`, {
      hint: 'Give the environment a host in slipway.yaml, or name the domain below which it has one: slipway render --domain DOMAIN',
    });
  const hosts = [...new Set(plan.hosts)].sort(byText);
  const names = [...new Set(backends.map(({ service }) => service.name))];
  return names.map((name) => {
    const own = backends.filter(({ service }) => service.name === name);
    const [first] = own;
    if (!first) throw new Error(`no backend for ${name}`);
    const { entrance } = first.part.target;
    const mode = sleeps(first.part.target, plan) ? 'sleeps' : 'stays';
    return entrance.kind === 'gateway'
      ? httpRoute(hosts, name, own, entrance, { probe, mode })
      : ingress(hosts, name, own, entrance);
  });
}

/** Releases with the same path share a rule, by their weights. */
function httpRoute(
  hostnames: string[],
  name: string,
  backends: Backend[],
  gateway: Gateway,
  { probe, mode }: { probe: string | null; mode: 'sleeps' | 'stays' },
): KubernetesObject {
  const paths = [...new Set(backends.map(({ route }) => route))].sort(byText);
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: about(name, backends),
    spec: {
      parentRefs: [{ namespace: gateway.namespace, name: gateway.name }],
      hostnames,
      rules: [
        ...paths.map((path) => ({
          matches: [{ path: { type: 'PathPrefix' as const, value: path } }],
          backendRefs:
            mode === 'sleeps' ? [ACTIVATOR_BACKEND] : weighted(backends.filter(({ route }) => route === path)),
        })),
        ...(probe === null ? [] : probeRules(backends, probe, mode)),
      ],
    },
  };
}

/** Names the release that a request of the engine is for, and what it may be answered by. */
export const PROBE_HEADER = 'x-slipway-probe';

/** What a probe of one release's service says in its header, and gets back in the header of the answer. */
export function probeValue(probe: string, release: number, service: string): string {
  return `${probe}-r${release}-${service}`;
}

/**
 * A gateway takes a change of a route when it has heard of it, and says nowhere that it did: a status that says `Accepted` is written before
 * the change is in force. So each release has a rule of its own that only the engine uses. An answer that carries its word was brought by this
 * version of the route, from this release.
 */
function probeRules(backends: Backend[], probe: string, mode: 'sleeps' | 'stays'): IHTTPRouteRule[] {
  const rule = (value: string, path: string, backend: { name: string; port: number }): IHTTPRouteRule => ({
    matches: [{ path: { type: 'PathPrefix', value: path }, headers: [{ type: 'Exact', name: PROBE_HEADER, value }] }],
    filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: PROBE_HEADER, value }] } }],
    backendRefs: [backend],
  });
  const [first] = backends;
  if (first === undefined) return [];
  // What may sleep is behind the activator, whichever release it is; it answers probes itself.
  if (mode === 'sleeps') return [rule(probeValue(probe, 0, first.service.name), first.route, ACTIVATOR_BACKEND)];
  return backends.map((backend) =>
    rule(probeValue(probe, backend.part.release.number, backend.service.name), backend.route, backendOf(backend)),
  );
}

/** Weights are whole numbers and shares have decimals, so they are hundredths of a percent. */
function weighted(backends: readonly Backend[]) {
  return backends.map((backend) => {
    const weight = Math.round(backend.part.release.weight * 100);
    return { ...backendOf(backend), ...((backends.length > 1 || weight === 0) && { weight }) };
  });
}

/** Ingress knows no weights: the release with the most requests gets all of them. */
function ingress(hosts: string[], name: string, backends: Backend[], controller: IngressController): KubernetesObject {
  const [serving] = [...backends].sort((a, b) => b.part.release.weight - a.part.release.weight);
  if (!serving) throw new Error(`no backend for ${name}`);
  const { name: service, port: number } = backendOf(serving);
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: about(name, backends),
    spec: {
      ingressClassName: controller.className,
      rules: hosts.map((host) => ({
        host,
        http: {
          paths: [
            { path: serving.route, pathType: 'Prefix', backend: { service: { name: service, port: { number } } } },
          ],
        },
      })),
    },
  };
}

function about(name: string, [first]: Backend[]) {
  if (!first) throw new Error(`no backend for ${name}`);
  const process: Process = { component: 'service', name };
  return metadata(first.part.owner, labelOf([name]), { labels: sortedMap(serviceSelector(first.part.owner, process)) });
}

function backendOf({ part, service }: Backend): { name: string; port: number } {
  return { name: processName(part, { component: 'service', name: service.name }), port: servicePort(service) };
}
