import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Target } from '@slipway/kubernetes';
import type { GivenCluster } from '@slipway/testing/cluster';
import { callsDuring, kindsOf, secondsOf, type CallKinds, type Contender } from './kubernetes/contender.ts';
import { Load } from './kubernetes/load.ts';
import { allReady, hasMoved } from './kubernetes/observed.ts';
import { Helm, Kubectl } from './kubernetes/programs.ts';
import { Slipway, targetOf } from './kubernetes/slipway.ts';
import { onTestCluster } from './kubernetes/test-cluster.ts';
import { giveImage, hostOf, planOf } from './kubernetes/workload.ts';
import { CannotMeasure, inTurns, median, progress, round3, type Measured } from './measure.ts';

/**
 * Slipway's engine beside `kubectl apply` and `helm upgrade --install --wait` on the same real cluster, with the same objects: an environment of five
 * services whose image is on the nodes. Calls are those that the API server has written down, by account; kubectl and Helm know its API from a round
 * before. Then what only Slipway does: nothing when nothing changed, twenty environments at once, and rollouts under load through the gateway.
 */
const ROUNDS = 3;
const QUIET_SECONDS = 30;
const PREVIEWS = Number(process.env['SLIPWAY_BENCH_PREVIEWS'] ?? 20);
const ROLLOUTS = 5;
/** So that requests meet a release for longer than it takes the gateway to hear of it. */
const BETWEEN_ROLLOUTS_MILLISECONDS = 3_000;

interface Bench {
  slipway: Slipway;
  kubectl: Kubectl;
  helm: Helm;
  image: string;
  target: Target & { address: string };
}

export default async function kubernetes(): Promise<Measured> {
  return await onTestCluster({ nodes: 2, extent: 'full' }, async ({ cluster }) => {
    if (cluster.kind !== 'ours')
      throw new CannotMeasure(
        'This benchmark needs the audit log and the gateway of a cluster of ours. Start one by: npm run cluster -- 2',
      );
    for (const feature of ['gateway', 'helm'] as const)
      if (!cluster.has(feature, 'the benchmark')) throw new CannotMeasure(`The cluster was started without ${feature}`);
    const folder = await mkdtemp(path.join(os.tmpdir(), 'slipway-bench-'));
    try {
      const bench = await prepared(cluster, folder);
      const rounds = await firstRollouts(bench);
      const unchanged = await convergeUnchanged(bench);
      const previews = await previewsAtOnce(bench);
      const rollouts = await rolloutsUnderLoad(bench);
      return {
        figures: { ...rounds.figures, ...unchanged, ...previews, ...rollouts },
        peers: rounds.peers,
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

async function prepared(cluster: GivenCluster, folder: string): Promise<Bench> {
  progress('giving the image to the nodes');
  const image = await giveImage(cluster, folder);
  const target = await targetOf(cluster);
  const options = { image, target, folder };
  return {
    slipway: new Slipway(await cluster.caller('slipway', folder), cluster, options),
    kubectl: new Kubectl(await cluster.caller('kubectl', folder), cluster, options),
    helm: new Helm(await cluster.caller('helm', folder), cluster, options),
    image,
    target,
  };
}

/** An environment that comes and goes, by each in turns. */
async function firstRollouts({ slipway, kubectl, helm }: Bench) {
  let number = 0;
  const calls = { slipway: [] as number[], kubectl: [] as number[], helm: [] as number[] };
  const gone = { slipway: [] as number[], kubectl: [] as number[], helm: [] as number[] };
  const once = async (name: keyof typeof calls, contender: Contender): Promise<number> => {
    const environment = `bench/${name}-${(number += 1)}`;
    const up = await callsDuring(contender.caller, async () => await contender.up(environment));
    calls[name].push(totalOf(kindsOf(up.calls)));
    progress(`${name}: ${JSON.stringify(kindsOf(up.calls))}`);
    gone[name].push(await contender.gone(environment));
    return up.value;
  };
  const subjects = {
    slipway: async () => await slipway.running(async () => await once('slipway', slipway)),
    kubectl: async () => await once('kubectl', kubectl),
    helm: async () => await once('helm', helm),
  };
  progress(
    'a round that does not count: programs and images come from the disk, kubectl and Helm ask what the API has',
  );
  for (const subject of Object.values(subjects)) await subject();
  for (const values of [...Object.values(calls), ...Object.values(gone)]) values.length = 0;
  progress('seconds until five services are ready');
  const ready = await inTurns(ROUNDS, subjects);
  // A ratio per round: neighbours in time are held against each other.
  const ratios = ready.slipway.map((seconds, round) => seconds / (ready.kubectl[round] ?? Number.NaN));
  return {
    figures: {
      ready_ratio_to_kubectl: round3(median(ratios)),
      calls_first_rollout: median(calls.slipway),
      calls_helm: median(calls.helm),
      calls_kubectl: median(calls.kubectl),
      preview_1_s: round3(median(ready.slipway)),
      namespace_gone_s: round3(median(gone.slipway)),
    },
    peers: {
      kubectl_ready_s: round3(median(ready.kubectl)),
      helm_ready_s: round3(median(ready.helm)),
      kubectl_namespace_gone_s: round3(median(gone.kubectl)),
      helm_namespace_gone_s: round3(median(gone.helm)),
    },
  };
}

function totalOf({ reads, writes, watches }: CallKinds): number {
  return reads + writes + watches;
}

/** The same plan again, and then nothing for a while. What says that a connection is alive is told apart. */
async function convergeUnchanged({ slipway, image }: Bench) {
  const environment = 'bench/unchanged';
  return await slipway.running(async ({ engine, observed }) => {
    // Its last record is written after it is ready.
    await callsDuring(slipway.caller, async () => {
      await slipway.up(environment);
      await observed.until(environment, 'to have its traffic', ({ traffic }) => traffic.length === 1);
    });
    progress(`the same plan again, and ${QUIET_SECONDS} s of quiet`);
    const before = (await slipway.caller.calls()).length;
    await engine.converge(planOf(environment, image));
    await delay(QUIET_SECONDS * 1_000);
    const calls = (await slipway.caller.calls()).slice(before);
    for (const { verb, uri } of calls) progress(`${verb} ${uri}`);
    const { writes, reads, watches, heartbeats } = kindsOf(calls);
    await slipway.gone(environment);
    return {
      writes_unchanged: writes,
      reads_unchanged: reads,
      watches_unchanged: watches,
      heartbeats_unchanged: heartbeats,
    };
  });
}

async function previewsAtOnce({ slipway, image }: Bench) {
  const plans = Array.from({ length: PREVIEWS }, (_, index) => planOf(`bench/preview-${index + 1}`, image));
  return await slipway.running(async ({ engine, observed }) => {
    progress(`${PREVIEWS} environments at once`);
    const seconds = await secondsOf(
      async () =>
        await Promise.all(
          plans.map(async (plan) => {
            await engine.converge(plan);
            await observed.until(plan.environment, 'to be ready', allReady(plan), 600);
          }),
        ),
    );
    progress(`ready after ${round3(seconds)} s; removing them`);
    await Promise.all(plans.map(async ({ environment }) => await slipway.gone(environment)));
    return { [`previews_${PREVIEWS}_s`]: round3(seconds) };
  });
}

async function rolloutsUnderLoad({ slipway, image, target }: Bench) {
  const environment = 'bench/rollout';
  return await slipway.running(async ({ engine, observed }) => {
    await slipway.up(environment);
    await observed.until(environment, 'to have its traffic', ({ traffic }) => traffic.length === 1);
    const load = new Load({ address: target.address, host: hostOf(environment) });
    try {
      for (let release = 2; release <= ROLLOUTS + 1; release += 1) {
        await delay(BETWEEN_ROLLOUTS_MILLISECONDS);
        const plan = planOf(environment, image, release);
        await engine.converge(plan);
        await observed.until(environment, `to be moved to release ${release}`, hasMoved(plan));
        progress(`release ${release}: ${load.requests} requests, ${load.failed} failed; answered by ${load.answer}`);
      }
      await delay(BETWEEN_ROLLOUTS_MILLISECONDS);
    } finally {
      await load.stop();
    }
    await slipway.gone(environment);
    return {
      rolling_updates: ROLLOUTS,
      rolling_update_requests: load.requests,
      rolling_update_failed: load.failed,
    };
  });
}
