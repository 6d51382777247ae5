import type { Plan, PlannedRelease } from '@slipway/engine';
import type { KubernetesObject } from '../render/kubernetes-object.ts';
import { COMPONENT_LABEL, NAME_LABEL, RELEASE_LABEL } from '../render/owner.ts';
import { sleeps } from '../render/activator.ts';
import { render } from '../render/render.ts';
import type { Target } from '../render/target.ts';
import type { EnvironmentRecord, Share } from './record.ts';
import { canServe, shareTraffic, type ReadyCount } from './traffic.ts';

/** What is known about the cluster when it is decided what should be there. */
export interface Seen {
  ready: ReadyCount;
  /** Whether a service was started: from then on it stays, whatever becomes of those it needs. */
  started: (release: number, service: string) => boolean;
  /** Whether the gateway was seen to bring requests to an instance of it, or can't be asked. */
  reached: (release: number) => boolean;
}

/** What should be in the cluster right now. */
export interface Decision {
  traffic: Share[];
  /** Releases that wait for their traffic until the gateway was seen to reach them: the route names them, with no share. */
  tried: number[];
  /** Everything that runs: what was kept, then what the plan names. */
  releases: PlannedRelease[];
  /** `RELEASE/SERVICE` that wait for those they need. */
  held: ReadonlySet<string>;
}

/**
 * What should be there now, for a plan on its way to become true. Pure.
 *
 * | a service | runs when |
 * | --- | --- |
 * | was started | always |
 * | needs nobody | at once |
 * | needs others | an instance of each is ready |
 * | the environment sleeps | never |
 */
export function decide(record: EnvironmentRecord, seen: Seen): Decision {
  const { plan, kept, activity } = record;
  const wanted = shareTraffic(plan, record.traffic, seen.ready);
  // What is kept stays until the record says that requests have left it, not only that they should.
  const releases = [...kept, ...plan.releases];
  const tried = triedFirst(wanted, record, releases, seen);
  const traffic = tried.length === 0 ? wanted : record.traffic;
  const held = new Set<string>();
  for (const release of activity === 'asleep' ? [] : releases)
    for (const { name, needs } of release.services) {
      const waits = needs.some((need) => seen.ready(release.number, need) === 0 && replicasOf(release, need) > 0);
      if (waits && !seen.started(release.number, name)) held.add(`${release.number}/${name}`);
    }
  return { traffic, tried, releases, held };
}

/**
 * An instance is ready before the gateway has heard where it is, and requests that were moved meanwhile would fail. So a release is tried first,
 * while somebody else can answer.
 */
function triedFirst(
  wanted: readonly Share[],
  { traffic }: EnvironmentRecord,
  releases: readonly PlannedRelease[],
  seen: Seen,
): number[] {
  const before = traffic.map(({ release }) => releases.find(({ number }) => number === release));
  if (before.length === 0 || !before.every((one) => one !== undefined && canServe(one, seen.ready))) return [];
  return wanted
    .map(({ release }) => release)
    .filter((number) => !before.some((one) => one?.number === number) && !seen.reached(number));
}

function replicasOf(release: PlannedRelease, service: string): number {
  return release.services.find(({ name }) => name === service)?.replicas ?? 0;
}

export interface RenderEnvironment {
  target: Target;
  /** Names of variables that not everybody may read. `all` when it is not known. */
  secretNames: readonly string[] | 'all';
  /** Secret of this engine, so that names of Secrets and probes can't be guessed. */
  key: string;
  probe: string;
}

export interface Objects {
  objects: KubernetesObject[];
  /** Not written now, and not deleted either. */
  held: KubernetesObject[];
}

/** More than nothing, so that it is routed, and less than the least share of a route. */
const TRIED_WEIGHT = 0.001;

/** For a few jobs of the usual size at a time. */
const JOB_ROOM = { pods: 4, cpu: 2, memory: 4 * 2 ** 30 };

/** The objects of a decision. Held services have none but their Service: others may look up its name already. */
export function objectsOf(record: EnvironmentRecord, decision: Decision, options: RenderEnvironment): Objects {
  const { plan, activity, namespace } = record;
  const weights = new Map([
    ...decision.tried.map((release) => [release, TRIED_WEIGHT] as const),
    ...decision.traffic.map(({ release, weight }) => [release, weight] as const),
  ]);
  const sleeper = sleeps(options.target, plan);
  const effective: Plan = {
    ...plan,
    releases: decision.releases.map((release) => {
      const weight = sleeper ? release.weight : (weights.get(release.number) ?? 0);
      return forKubernetes({ ...release, weight }, sleeper);
    }),
  };
  const values = effective.releases.map((release) => splitVariables(release, options));
  const objects = render(
    { ...effective, releases: values.map(({ release }) => release) },
    {
      target: options.target,
      naming: 'per-release',
      patches: record.plan.patches ?? [],
      namespace,
      probe: options.probe,
      jobRoom: JOB_ROOM,
      secrets: new Map(
        values.map(({ release, secrets }) => [release.number, { kind: 'values', values: secrets, key: options.key }]),
      ),
    },
  );
  const awake = objects.map((object) => (activity === 'asleep' ? stopped(object) : object));
  return {
    objects: awake.filter((object) => !isHeld(object, decision.held)),
    held: awake.filter((object) => isHeld(object, decision.held)),
  };
}

/** Everything else stays as it is, so that waking changes one number. */
function stopped(object: KubernetesObject): KubernetesObject {
  return object.kind === 'Deployment' && object.spec !== undefined
    ? { ...object, spec: { ...object.spec, replicas: 0 } }
    : object;
}

/** The artifact of a release is the image of what has none of its own. What may sleep has a fixed number of replicas: an autoscaler can't wake it. */
function forKubernetes(release: PlannedRelease, sleeper: boolean): PlannedRelease {
  const image = <T extends { image?: string | undefined }>(process: T): T =>
    process.image === undefined && release.artifact !== '' ? { ...process, image: release.artifact } : process;
  return {
    ...release,
    services: release.services.map((service) => {
      const { maxReplicas, ...fixed } = image(service);
      return sleeper || maxReplicas === undefined ? fixed : { ...fixed, maxReplicas };
    }),
    workers: release.workers.map(image),
    ...(release.jobs === undefined ? {} : { jobs: release.jobs.map(image) }),
  };
}

function splitVariables(release: PlannedRelease, { secretNames }: RenderEnvironment) {
  const all = Object.entries(release.variables);
  const secret = (name: string): boolean => secretNames === 'all' || secretNames.includes(name);
  return {
    release: { ...release, variables: Object.fromEntries(all.filter(([name]) => !secret(name))) },
    secrets: Object.fromEntries(all.filter(([name]) => secret(name))),
  };
}

function isHeld({ kind, metadata }: KubernetesObject, held: ReadonlySet<string>): boolean {
  if (kind !== 'Deployment' && kind !== 'HorizontalPodAutoscaler' && kind !== 'PodDisruptionBudget') return false;
  const { [COMPONENT_LABEL]: component, [RELEASE_LABEL]: release, [NAME_LABEL]: name } = metadata.labels;
  return component === 'service' && held.has(`${release}/${name}`);
}
