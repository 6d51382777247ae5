import type { PlannedRelease } from '@slipway/engine';
import type { IEnvFromSource } from 'kubernetes-models/v1';
import { labelOf } from './names.ts';
import type { Owner } from './owner.ts';
import { COMPONENT_LABEL, LANE_LABEL, NAME_LABEL, OWNER_LABEL, RELEASE_LABEL } from './owner.ts';
import type { Target } from './target.ts';

/**
 * How objects of a release are named.
 *
 * | naming | means |
 * | --- | --- |
 * | stable | `web`. Kubernetes moves it from one release to the next (a rolling update); a plan has one release |
 * | per-release | `web--r8`. Releases run beside each other, and the engine moves the traffic |
 */
export type Naming = 'stable' | 'per-release';

/** One release of a plan and all that its objects are made of. */
export interface ReleasePart {
  owner: Owner;
  target: Target;
  naming: Naming;
  release: PlannedRelease;
  /** Where its processes have config and secrets from. */
  variableSources: IEnvFromSource[];
}

export type Component = 'service' | 'worker' | 'job';

/** Which process of a release an object is for. */
export interface Process {
  component: Component;
  name: string;
  lane?: 'normal' | 'fallback';
}

/** Name of the objects of a process. */
export function processName({ naming, release }: ReleasePart, process: Process, max?: number): string {
  const lane = process.lane === undefined ? [] : [process.lane];
  return labelOf([process.name, ...lane, ...(naming === 'stable' ? [] : [`r${release.number}`])], max);
}

/** What the pods of a process, and no others, are labelled with. Never changes, as a selector can't. */
export function selectorLabels({ owner, naming, release }: ReleasePart, process: Process): Record<string, string> {
  return {
    ...serviceSelector(owner, process),
    ...(naming === 'stable' ? {} : { [RELEASE_LABEL]: `${release.number}` }),
  };
}

/** The same for the pods of every release. */
export function serviceSelector(owner: Owner, process: Process): Record<string, string> {
  return {
    [COMPONENT_LABEL]: process.component,
    [NAME_LABEL]: process.name,
    [OWNER_LABEL]: owner.namespace,
    ...(process.lane === undefined ? {} : { [LANE_LABEL]: process.lane }),
  };
}
