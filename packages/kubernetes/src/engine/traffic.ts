import type { Plan, PlannedRelease } from '@slipway/engine';
import type { Share } from './record.ts';

/** How many instances of a service or worker of a release are ready. */
export type ReadyCount = (release: number, name: string) => number;

/** What decides whether a release can serve: its routed services; without routes its services; without services its workers. */
export function decisive(release: PlannedRelease): { name: string; replicas: number }[] {
  const routed = release.services.filter((service) => service.route !== null);
  return [routed, release.services, release.workers].find((list) => list.length > 0) ?? [];
}

/** A release can serve when an instance of each of them is ready. */
export function canServe(release: PlannedRelease, ready: ReadyCount): boolean {
  return decisive(release).every(({ name, replicas }) => replicas === 0 || ready(release.number, name) > 0);
}

/**
 * Who gets new requests. The weights of the plan say, as far as their releases can serve; while none of them can, whoever
 * had the requests keeps them, even when the plan does not name it any more.
 */
export function shareTraffic(plan: Plan, before: readonly Share[], ready: ReadyCount): Share[] {
  const wanted = plan.releases.filter((release) => release.weight > 0);
  if (wanted.length === 0) return [];
  const able = wanted.filter((release) => canServe(release, ready));
  if (able.length === 0) return [...before];
  const sum = able.reduce((total, release) => total + release.weight, 0);
  return able.map(({ number, weight }) => ({ release: number, weight: sum === 0 ? weight : (weight / sum) * 100 }));
}

/** Releases that a plan drops and that have requests now: they serve until a release of the new plan can. */
export function keptReleases(
  plan: Plan,
  before: { plan: Plan; kept: readonly PlannedRelease[]; traffic: readonly Share[] } | null,
): PlannedRelease[] {
  if (before === null || !plan.releases.some(({ weight }) => weight > 0)) return [];
  const named = new Set(plan.releases.map(({ number }) => number));
  const serving = new Set(before.traffic.map(({ release }) => release));
  return [...before.kept, ...before.plan.releases].filter(({ number }) => !named.has(number) && serving.has(number));
}

/** Public base URL of each service with a route: of the release with most traffic, else the newest. */
export function publicUrls(
  plan: Plan,
  releases: readonly PlannedRelease[],
  traffic: readonly Share[],
  port: number | null,
): Record<string, string> {
  const [most] = [...traffic].sort((a, b) => b.weight - a.weight);
  const release = releases.find(({ number }) => number === most?.release) ?? plan.releases.at(-1);
  const [host] = plan.hosts;
  if (release === undefined || host === undefined) return {};
  const base = port === null || port === 80 ? `http://${host}` : `http://${host}:${port}`;
  return Object.fromEntries(
    release.services.flatMap(({ name, route }) =>
      route === null ? [] : [[name, route === '/' ? base : `${base}${route}`]],
    ),
  );
}
