import { formatProblem, nearest, SlipwayError } from '@slipway/app';
import type { Patch } from '@slipway/app';
import { brokenInvariants } from './invariants.ts';
import { applyJsonPatch } from './json-patch.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { byText } from './kubernetes-object.ts';
import { NAME_LABEL } from './owner.ts';
import type { Owner } from './owner.ts';
import { PatchFailed } from './patch-failed.ts';
import { mergeStrategically } from './strategic-merge.ts';

/**
 * The objects with a team's patches applied, one after the other.
 *
 * @throws {SlipwayError} `mistake` with the place of each patch that can't be applied, or that would break what Slipway promises.
 */
export function applyPatches(
  owner: Owner,
  objects: readonly KubernetesObject[],
  patches: readonly Patch[],
): KubernetesObject[] {
  const patched = [...objects];
  const problems: string[] = [];
  for (const patch of patches) {
    const targets = [...patched.keys()].filter((index) => matches(patched[index], patch));
    const reasons = new Set(targets.length === 0 ? [noTarget(owner, patched, patch)] : []);
    for (const index of targets) {
      const before = patched[index];
      if (!before) continue;
      const result = applyPatch(before, patch);
      if (Array.isArray(result)) for (const reason of result) reasons.add(reason);
      else patched[index] = result;
    }
    for (const message of reasons) problems.push(formatProblem({ ...patch.place, message }));
  }
  if (problems.length === 0) return patched;
  throw new SlipwayError('mistake', problems.join('\n'), {
    hint: 'What patches may change is told in docs/kubernetes.md.',
  });
}

function matches(object: KubernetesObject | undefined, { target }: Patch): boolean {
  return object?.kind === target.kind && (target.name === null || namesOf(object).includes(target.name));
}

/** An object has its own name, and that of its service, worker or job. */
function namesOf({ metadata }: KubernetesObject): string[] {
  return [metadata.name, metadata.labels[NAME_LABEL] ?? metadata.name];
}

/** @returns The patched object, or why it is not allowed. */
function applyPatch(before: KubernetesObject, { patch }: Patch): KubernetesObject | string[] {
  try {
    const after = Array.isArray(patch) ? applyJsonPatch(before, patch) : mergeStrategically(before.kind, before, patch);
    const broken = brokenInvariants(before, after);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its identity is as it was, and what is read of it was looked at
    return broken.length === 0 ? (after as KubernetesObject) : broken.map((reason) => refused(before, reason));
  } catch (error) {
    if (error instanceof PatchFailed) return [refused(before, error.message)];
    throw error;
  }
}

function refused({ kind, metadata }: KubernetesObject, reason: string): string {
  return `is refused for ${kind} ${metadata.name}: it ${reason}`;
}

function noTarget(owner: Owner, objects: readonly KubernetesObject[], { target }: Patch): string {
  const place = `${owner.app}/${owner.environment}`;
  const names = objects.filter(({ kind }) => kind === target.kind).map(({ metadata }) => metadata.name);
  if (names.length === 0) return `is for the kind ${target.kind}, of which ${place} has none`;
  const near = nearest(target.name ?? '', names);
  const hint = near === null ? '' : `; did you mean "${near}"?`;
  const known = names.sort(byText).map((name) => `"${name}"`);
  return `is for the ${target.kind} "${target.name}", but ${place} has ${known.join(', ')}${hint}`;
}
