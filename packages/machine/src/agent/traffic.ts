import type { Plan, PlannedRelease } from '@slipway/engine';
import type { RoutedRelease, RouteTable } from '../router/routes.ts';
import type { Instance } from './instance.ts';

/** A release's share of new requests. */
export interface Share {
  release: number;
  weight: number;
}

/** A release can serve when an instance of each routed service is ready; without routes, of each service; without services, of each worker. */
export function canServe(release: PlannedRelease, instances: readonly Instance[]): boolean {
  const routed = release.services.filter((service) => service.route !== null);
  const decisive = [routed, release.services, release.workers].find((list) => list.length > 0) ?? [];
  return decisive.every(
    (process) => process.replicas === 0 || readyOf(release.number, process.name, instances).length > 0,
  );
}

/**
 * Who gets new requests. The weights of the plan say, as far as their releases can serve; while none of them can, whoever
 * had the requests keeps them, even when the plan does not name it any more.
 */
export function shareTraffic(plan: Plan, before: readonly Share[], instances: readonly Instance[]): Share[] {
  const wanted = plan.releases.filter((release) => release.weight > 0);
  if (wanted.length === 0) return [];
  const able = wanted.filter((release) => canServe(release, instances));
  if (able.length === 0) return [...before];
  return able.map((release) => ({ release: release.number, weight: release.weight }));
}

/**
 * What the router is told.
 *
 * Before the first release can serve, its services that others need get backends already: a service whose health depends on
 * a peer could never become ready without it.
 */
export function routeTable(
  plan: Plan,
  releases: readonly PlannedRelease[],
  shares: readonly Share[],
  instances: readonly Instance[],
  asleep: boolean,
): RouteTable {
  const routed = (release: PlannedRelease, weight: number, only: ReadonlySet<string> | null): RoutedRelease => ({
    number: release.number,
    weight,
    services: release.services.map((service) => ({
      name: service.name,
      route: service.route,
      backends:
        only !== null && !only.has(service.name)
          ? []
          : readyOf(release.number, service.name, instances).flatMap((instance) =>
              instance.record.port === null ? [] : [{ id: instance.id, port: instance.record.port }],
            ),
    })),
  });
  const serving = shares.flatMap((share) => {
    const release = releases.find((release) => release.number === share.release);
    return release === undefined ? [] : [routed(release, share.weight, null)];
  });
  const first = plan.releases
    .filter((release) => release.weight > 0)
    .map((release) => routed(release, release.weight, new Set(release.services.flatMap((service) => service.needs))));
  return {
    hosts: plan.hosts.map((host) => host.toLowerCase()),
    answer: asleep ? 'wake' : 'forward',
    releases: serving.length > 0 ? serving : first,
    explanation: asleep ? null : explain(plan, shares, releases, instances),
  };
}

/** For people whose request can't be served; says nothing that only the operator should know. */
function explain(
  plan: Plan,
  shares: readonly Share[],
  releases: readonly PlannedRelease[],
  instances: readonly Instance[],
): string | null {
  const expected =
    shares.length > 0
      ? shares.map((share) => share.release)
      : plan.releases.filter((r) => r.weight > 0).map((r) => r.number);
  if (expected.length === 0) return `Nothing is deployed to ${plan.environment} yet.`;
  const able = releases.filter((release) => expected.includes(release.number) && canServe(release, instances));
  if (able.length > 0) return null;
  const failing = instances.find(
    (instance) => instance.state === 'failing' && expected.includes(instance.spec.release),
  );
  const which = `${plan.environment}, release ${expected.join(', ')}`;
  if (failing === undefined) return `${which}, is starting.`;
  return `${which}: ${failing.spec.process.name} does not run (${failing.record.failure?.code ?? 'crashed'}). "slipway why ${plan.environment}" tells more.`;
}

export function readyOf(release: number, name: string, instances: readonly Instance[]): Instance[] {
  return instances.filter(
    (instance) =>
      instance.state === 'ready' && instance.spec.release === release && instance.spec.process.name === name,
  );
}

/** Public base URL of each service with a route: of the release with most traffic, else the newest. */
export function publicUrls(
  plan: Plan,
  releases: readonly PlannedRelease[],
  shares: readonly Share[],
  port: number,
): Record<string, string> {
  const most = [...shares].sort((a, b) => b.weight - a.weight)[0];
  const release = releases.find((release) => release.number === most?.release) ?? plan.releases.at(-1);
  const host = plan.hosts[0];
  if (release === undefined || host === undefined) return {};
  const base = port === 80 ? `http://${host}` : `http://${host}:${port}`;
  return Object.fromEntries(
    release.services.flatMap((service) =>
      service.route === null ? [] : [[service.name, service.route === '/' ? base : `${base}${service.route}`]],
    ),
  );
}
