import { isDeepStrictEqual } from 'node:util';
import { SlipwayError } from '@slipway/app';
import type { Plan } from '@slipway/engine';
import { keyOf } from '../apply/mark.ts';
import type { KubernetesObject } from '../render/kubernetes-object.ts';
import { labelOf } from '../render/names.ts';
import { ownerOf } from '../render/owner.ts';
import { objectsOf, type RenderEnvironment } from './decision.ts';
import type { EnvironmentRecord } from './record.ts';
import { keptReleases } from './traffic.ts';

/**
 * The record after a plan was accepted; null when it is the plan that is held.
 *
 * @param before null: the environment is new.
 * @param keys Of the objects that the plan needs.
 * @throws {SlipwayError} `conflict` when a newer generation is held, or another plan of the same.
 */
export function nextRecord(
  plan: Plan,
  before: EnvironmentRecord | null,
  keys: readonly string[],
): EnvironmentRecord | null {
  const held = before === null || before.fate === 'removing' ? null : before;
  if (held !== null && plan.generation < held.plan.generation)
    throw new SlipwayError(
      'conflict',
      `${plan.environment} holds the plan ${held.plan.generation}, which is newer than ${plan.generation}`,
    );
  if (held !== null && plan.generation === held.plan.generation) {
    if (isDeepStrictEqual(plan, held.plan)) return null;
    throw new SlipwayError('conflict', `${plan.environment} holds another plan ${plan.generation} already`);
  }
  const numbers = new Set(held?.plan.releases.map(({ number }) => number));
  const isNew = plan.releases.some(({ number }) => !numbers.has(number));
  const wakes = plan.tasks === 'waiting' || plan.sleepSeconds === null || isNew;
  const serving = new Set([...(held?.kept ?? []), ...(held?.plan.releases ?? [])].map(({ number }) => number));
  return {
    plan,
    kept: keptReleases(plan, held),
    traffic: plan.releases.some(({ weight }) => weight > 0)
      ? (held?.traffic ?? []).filter(({ release }) => serving.has(release))
      : [],
    activity: wakes ? 'awake' : (held?.activity ?? 'awake'),
    fate: 'held',
    namespace: held?.namespace ?? ownerOf(plan.environment).namespace,
    inventory: [...new Set([...(before?.inventory ?? []), ...keys])].sort(),
  };
}

/** Keys of every object that a plan will need. @throws {SlipwayError} `mistake` when it can't be rendered. */
export function plannedKeys(plan: Plan, namespace: string, options: Omit<RenderEnvironment, 'probe'>): string[] {
  return plannedObjects(plan, namespace, options).map(keyOf);
}

/** Every object that a plan will need, as it is when the plan has become true. @throws {SlipwayError} `mistake` when it can't be rendered. */
export function plannedObjects(
  plan: Plan,
  namespace: string,
  options: Omit<RenderEnvironment, 'probe'>,
): KubernetesObject[] {
  const traffic = plan.releases
    .filter(({ weight }) => weight > 0)
    .map(({ number, weight }) => ({ release: number, weight }));
  const record: EnvironmentRecord = {
    plan,
    kept: [],
    traffic,
    activity: 'awake',
    fate: 'held',
    namespace,
    inventory: [],
  };
  const decision = { traffic, tried: [], releases: plan.releases, held: new Set<string>() };
  return objectsOf(record, decision, { ...options, probe: '' }).objects;
}

/** A namespace for an environment whose usual one is still being deleted. */
export function successor(environment: string, taken: ReadonlySet<string>): string {
  for (let count = 2; ; count += 1) {
    const name = labelOf([...environment.split('/'), `n${count}`]);
    if (!taken.has(name)) return name;
  }
}
