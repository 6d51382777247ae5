import { createHmac } from 'node:crypto';
import type { Plan } from '@slipway/engine';
import type { Decision } from './decision.ts';
import type { Entrance, Probe } from './entrance.ts';
import type { Share } from './record.ts';

/** A version of an environment's route, and what it should lead to. */
export interface RouteVersion {
  /** Stands for the version: it is in the rules by which the gateway is asked. */
  word: string;
  host: string;
  traffic: Share[];
  probes: Probe[];
}

/**
 * @param mode `sleeps`: the route leads to the activator, whatever the release.
 * @param key Secret, so that nobody else can ask for one release.
 */
export function routeVersion(
  { plan, namespace }: { plan: Plan; namespace: string },
  { traffic, tried, releases }: Decision,
  { mode, key }: { mode: 'sleeps' | 'stays'; key: string },
): RouteVersion {
  const routed = releases.map(({ number, services }) => [number, services.map(({ name, route }) => [name, route])]);
  const about = mode === 'sleeps' ? [plan.hosts, namespace] : [plan.hosts, routed, traffic, namespace, ...tried];
  const word = createHmac('sha256', key)
    .update(JSON.stringify([plan.environment, about]))
    .digest('hex')
    .slice(0, 16);
  const probes = [...traffic.map(({ release }) => release), ...tried].flatMap((release) =>
    (releases.find(({ number }) => number === release)?.services ?? []).flatMap(({ name, route, health }): Probe[] => {
      if (route === null) return [];
      const path = health?.startsWith(route) === true ? health : route;
      return [{ release: mode === 'sleeps' ? 0 : release, service: name, path }];
    }),
  );
  return { word, host: plan.hosts[0] ?? '', traffic, probes };
}

/**
 * Knows where the gateway brings the requests of one environment.
 *
 * | state | means | left when |
 * | --- | --- | --- |
 * | nowhere | no release can serve, or it sleeps | a version is wanted: asking |
 * | asking | a version of the route was written; the gateway is asked until it is in force. What was reached before still is | it is: reached. Another version is wanted: asking for that |
 * | reached | this version is in force | another version is wanted: asking. `lose`: nowhere |
 */
export class RouteFollower {
  readonly #entrance: Entrance;
  readonly #news: (problem: unknown) => void;
  #reached: { word: string; traffic: Share[] } | null = null;
  #asking: { word: string; abort: AbortController } | null = null;

  /** @param news Called when a version came into force (null), or with what went wrong. */
  constructor(entrance: Entrance, news: (problem: unknown) => void) {
    this.#entrance = entrance;
    this.#news = news;
  }

  /** Where new requests go now. */
  get traffic(): readonly Share[] {
    return this.#reached?.traffic ?? [];
  }

  get state(): 'nowhere' | 'asking' | 'reached' {
    return this.#asking !== null ? 'asking' : this.#reached !== null ? 'reached' : 'nowhere';
  }

  isInForce({ word }: RouteVersion): boolean {
    return this.#reached?.word === word;
  }

  /** Nothing can be reached any more. */
  lose(): void {
    this.#asking?.abort.abort();
    this.#asking = null;
    this.#reached = null;
  }

  want({ word, host, traffic, probes }: RouteVersion): void {
    if (this.#reached?.word === word) {
      // Behind the activator another release is no other route.
      this.#reached = { word, traffic };
      return;
    }
    if (this.#asking?.word === word) return;
    this.#asking?.abort.abort();
    const asking = { word, abort: new AbortController() };
    this.#asking = asking;
    this.#entrance.confirm(host, word, probes, asking.abort.signal).then(
      () => {
        if (this.#asking !== asking) return;
        this.#asking = null;
        this.#reached = { word, traffic };
        this.#news(null);
      },
      (error: unknown) => {
        if (this.#asking !== asking) return;
        this.#asking = null;
        this.#news(error);
      },
    );
  }
}
