import { setTimeout as delay } from 'node:timers/promises';
import type { Api, GivenCluster } from '@slipway/testing/cluster';
import { allHealed, driftOf } from './fleet/drift.ts';
import { OBJECTS } from './fleet/plan.ts';
import { ControlPlane } from './fleet/process.ts';
import { onTestCluster } from './kubernetes/test-cluster.ts';
import { median, progress, round3, type Measured } from './measure.ts';

/**
 * Many environments of ten objects, held by one control plane's engine on a real API server: it makes them, is killed, and is started again while
 * some were changed behind its back. Services have no instances, because nodes are not what is measured.
 *
 * Flux publishes how long it takes to apply 1000 Kustomizations of four objects each from nothing, with 2 CPUs, and the most memory that it had.
 *
 * SLIPWAY_BENCH_ENVIRONMENTS (500): fewer, to try it out.
 */
const ENVIRONMENTS = Number(process.env['SLIPWAY_BENCH_ENVIRONMENTS'] ?? 500);
const RESTARTS = 3;
const CHANGED = 20;
const QUIET_MILLISECONDS = 10_000;

/** https://github.com/fluxcd/flux-benchmark/blob/main/RESULTS.md, version 2.9. */
const FLUX = { objects: 1000 * 4, seconds: 253, mib: 223 };

export default async function fleet(): Promise<Measured> {
  return await onTestCluster({ nodes: 1, extent: 'plain' }, async ({ cluster, afterwards }) => {
    try {
      const first = await makeAll(cluster);
      const objects = await countObjects(cluster.api);
      if (objects !== ENVIRONMENTS * OBJECTS)
        throw new Error(`there are ${objects} objects, and not ${ENVIRONMENTS * OBJECTS}`);
      const restarts: Restart[] = [];
      for (let number = 1; number <= RESTARTS; number += 1) restarts.push(await restart(cluster, number));
      const converge = median(restarts.map(({ seconds }) => seconds));
      const perObject = FLUX.seconds / FLUX.objects;
      return {
        figures: {
          environments: ENVIRONMENTS,
          objects,
          converge_s: round3(converge),
          healed_s: round3(median(restarts.map(({ healed }) => healed))),
          changed_while_down: CHANGED,
          rss_mib: round3(Math.max(first.most, ...restarts.map(({ most }) => most))),
          rss_restarted_mib: round3(median(restarts.map(({ most }) => most))),
          rss_quiet_mib: round3(median(restarts.map(({ now }) => now))),
          first_s: round3(first.seconds),
          restart_times_faster_than_flux_per_object: round3(perObject / (converge / objects)),
          first_times_faster_than_flux_per_object: round3(perObject / (first.seconds / objects)),
        },
        peers: { flux_objects: FLUX.objects, flux_s: FLUX.seconds, flux_mib: FLUX.mib },
      };
    } finally {
      if (afterwards === 'stays') await removeAll(cluster);
    }
  });
}

/** From nothing. */
async function makeAll({ kubeconfig }: GivenCluster): Promise<{ seconds: number; most: number }> {
  const plane = new ControlPlane(kubeconfig, ENVIRONMENTS);
  try {
    const { seconds, said } = await plane.until('true');
    const { most } = await plane.memory();
    progress(`made in ${round3(seconds)} s with ${said.reads} reads and ${said.writes} writes; ${round3(most)} MiB`);
    return { seconds, most };
  } finally {
    await plane.kill();
  }
}

interface Restart {
  /** Until every environment was held, looked at and as it should be. */
  seconds: number;
  /** Until the API server said so of everything that was changed. */
  healed: number;
  now: number;
  most: number;
}

async function restart({ kubeconfig, api }: GivenCluster, number: number): Promise<Restart> {
  const step = Math.max(1, Math.floor(ENVIRONMENTS / CHANGED));
  const changed = Array.from({ length: ENVIRONMENTS }, (_, index) => index + 1).filter((one) => one % step === 0);
  const drift = driftOf(api, changed.slice(0, CHANGED));
  await Promise.all(drift.map(async (one) => await one.done()));
  // The API server and its controllers come to rest from what was before.
  await delay(QUIET_MILLISECONDS);
  const plane = new ControlPlane(kubeconfig, ENVIRONMENTS);
  try {
    const healing = allHealed(drift).then(() => plane.secondsNow());
    healing.catch(() => undefined);
    const synced = await plane.until('synced');
    const { seconds, said } = await plane.until('true');
    const healed = await healing;
    await delay(QUIET_MILLISECONDS);
    const { now, most } = await plane.memory();
    progress(
      `restart ${number}: ${synced.said.environments} told after ${round3(synced.seconds)} s, true after ${round3(seconds)} s, ` +
        `healed after ${round3(healed)} s, ${said.reads} reads, ${said.writes} writes, ${round3(most)} MiB, then ${round3(now)} MiB`,
    );
    return { seconds, healed, now, most };
  } finally {
    await plane.kill();
  }
}

/** What a cluster that goes on needs not keep. */
async function removeAll({ kubeconfig }: GivenCluster): Promise<void> {
  progress('removing them');
  const plane = new ControlPlane(kubeconfig, ENVIRONMENTS);
  try {
    await plane.until('true');
    await plane.remove();
  } finally {
    await plane.kill();
  }
}

const COLLECTIONS = [
  '/api/v1/namespaces',
  '/api/v1/configmaps',
  '/api/v1/secrets',
  '/api/v1/services',
  '/api/v1/serviceaccounts',
  '/api/v1/resourcequotas',
  '/apis/apps/v1/deployments',
  '/apis/networking.k8s.io/v1/networkpolicies',
];

/** By their owner mark; not the records of the control plane. */
async function countObjects(api: Api): Promise<number> {
  const query = new URLSearchParams({ labelSelector: 'app.kubernetes.io/part-of=fleet' }).toString();
  const counts = await Promise.all(
    COLLECTIONS.map(async (path) => (await api.get<{ items: unknown[] }>(`${path}?${query}`)).items.length),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
