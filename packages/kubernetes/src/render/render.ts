import { SlipwayError } from '@slipway/app';
import type { Patch } from '@slipway/app';
import type { Plan } from '@slipway/engine';
import { activatorObjects, sleeps } from './activator.ts';
import { jobObject } from './job.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { inApplyOrder } from './kubernetes-object.ts';
import { namespaceObjects, type Room } from './namespace.ts';
import { networkPolicies } from './network.ts';
import type { Owner } from './owner.ts';
import { ownerOf } from './owner.ts';
import { applyPatches } from './patches.ts';
import { withQualityOfService } from './quality-of-service.ts';
import type { Naming, ReleasePart } from './release-part.ts';
import { routes } from './route.ts';
import { serviceObjects } from './service.ts';
import type { Target } from './target.ts';
import { releaseVariables } from './variables.ts';
import type { Secrets } from './variables.ts';
import { workerObjects } from './worker.ts';

export interface RenderOptions {
  target: Target;
  naming: Naming;
  /** Of the environment, from the default branch; a release brings none along. */
  patches: readonly Patch[];
  /** By release number. Those that are missing have none. */
  secrets: ReadonlyMap<number, Secrets>;
  /** Added to the quota, for jobs that are no objects of the plan. */
  jobRoom?: Room;
  /** Of the objects, when it is not the environment's usual one. */
  namespace?: string;
  /** The engine asks the gateway by this word whether a route is in force; see `route.ts`. */
  probe?: string;
}

/**
 * What a plan looks like as Kubernetes objects, in the order they are applied. Pure: the same plan and options give the same objects, and the order
 * in which a file named things does not matter.
 *
 * @throws {SlipwayError} `mistake` when the plan can't be true on Kubernetes, or a patch is not allowed.
 */
export function render(plan: Plan, options: RenderOptions): KubernetesObject[] {
  const owner = ownerOf(plan.environment, options.namespace);
  if (options.naming === 'stable') refuseTwoOfOneName(plan);
  const variables = plan.releases.map((release) =>
    releaseVariables(owner, release, options.secrets.get(release.number) ?? null),
  );
  const parts = plan.releases.map((release, index): ReleasePart => ({
    owner,
    target: options.target,
    naming: options.naming,
    release,
    variableSources: variables[index]?.sources ?? [],
  }));
  const objects = [
    ...namespaceObjects(owner, plan, options.jobRoom),
    ...networkPolicies(owner, options.target, plan),
    ...variables.flatMap(({ objects }) => objects),
    ...parts.flatMap((part) => part.release.services.flatMap((service) => serviceObjects(part, service))),
    ...parts.flatMap((part) => part.release.workers.flatMap((worker) => workerObjects(part, worker))),
    ...jobObjects(parts, options.patches),
    ...(sleeps(options.target, plan) ? activatorObjects(owner, options.target) : []),
    ...routes(plan, parts, options.probe ?? null),
  ];
  const inOrder = unique(owner, objects).sort(inApplyOrder);
  return applyPatches(owner, inOrder, options.patches).map(withQualityOfService);
}

function refuseTwoOfOneName({ environment, releases }: Plan): void {
  if (releases.length < 2) return;
  const numbers = releases.map(({ number }) => number).join(' and ');
  throw new SlipwayError(
    'mistake',
    `the plan of ${environment} has the releases ${numbers}, and with stable names there is room for one`,
  );
}

/** What runs before a deploy is of the newest release, schedules are of the one that serves. Neither is done twice. */
function jobObjects(parts: readonly ReleasePart[], patches: readonly Patch[]): KubernetesObject[] {
  const newest = [...parts].sort((a, b) => b.release.number - a.release.number)[0];
  const serving = [...parts].sort(
    (a, b) => b.release.weight - a.release.weight || b.release.number - a.release.number,
  )[0];
  return parts.flatMap((part) =>
    (part.release.jobs ?? [])
      .filter(({ when }) => part === (when === 'schedule' ? serving : newest))
      .map((job) => jobObject(part, job, patches)),
  );
}

/** Two releases with the same config share its objects. */
function unique(owner: Owner, objects: readonly KubernetesObject[]): KubernetesObject[] {
  const found = new Map<string, KubernetesObject>();
  for (const object of objects) {
    const id = `${object.kind} ${object.metadata.name}`;
    const other = found.get(id);
    if (other !== undefined && object.kind !== 'ConfigMap' && object.kind !== 'Secret')
      throw new Error(`two objects of ${owner.namespace} are called ${id}`);
    found.set(id, object);
  }
  return [...found.values()];
}
