import { isDeepStrictEqual } from 'node:util';
import { isMapping, valueAt } from './json-value.ts';
import type { KubernetesObject } from './kubernetes-object.ts';
import { POD_SECURITY_LABELS } from './namespace.ts';
import { DEFAULT_DENY } from './network.ts';
import { OWNER_LABELS } from './owner.ts';
import { brokenPodInvariants } from './pod-invariants.ts';

/**
 * What holds whatever a patch says: whose an object is and what it is called, that nothing is reached that was not allowed, and that pods are
 * `restricted` and have sizes (`pod-invariants.ts`).
 *
 * @param before The object as it was; it breaks none.
 * @param after What a patch has made of it.
 * @returns Why the patch is refused, each the rest of a sentence that begins with its place; empty when it is not.
 */
export function brokenInvariants(before: KubernetesObject, after: unknown): string[] {
  const identity = brokenIdentity(before, after);
  if (identity.length > 0) return identity;
  return [...brokenOwnership(before, after), ...brokenByKind(before, after)];
}

function brokenIdentity(before: KubernetesObject, after: unknown): string[] {
  if (!isMapping(after)) return ['leaves something else than an object'];
  const identity = [['apiVersion'], ['kind'], ['metadata', 'name'], ['metadata', 'namespace']];
  return identity
    .filter((path) => valueAt(after, ...path) !== valueAt(before, ...path))
    .map((path) => `changes ${path.join('.')}, by which the object is found again`);
}

function brokenOwnership(before: KubernetesObject, after: unknown): string[] {
  const lost = OWNER_LABELS.filter(
    (name) => valueAt(after, 'metadata', 'labels', name) !== before.metadata.labels[name],
  );
  return [
    ...lost.map((name) => `changes the label ${name}, which says whose the object is`),
    ...(textsOnly(valueAt(after, 'metadata', 'labels'))
      ? []
      : ['leaves metadata.labels with something else than texts']),
    ...(textsOnly(valueAt(after, 'metadata', 'annotations') ?? {})
      ? []
      : ['leaves metadata.annotations with something else than texts']),
  ];
}

function textsOnly(value: unknown): boolean {
  return isMapping(value) && Object.values(value).every((one) => typeof one === 'string');
}

function brokenByKind(before: KubernetesObject, after: unknown): string[] {
  switch (before.kind) {
    case 'Namespace':
      return Object.entries(POD_SECURITY_LABELS)
        .filter(([name, value]) => valueAt(after, 'metadata', 'labels', name) !== value)
        .map(([name]) => `changes the label ${name}, which keeps pods restricted`);
    case 'NetworkPolicy':
      return before.metadata.name === DEFAULT_DENY && !isDeepStrictEqual(valueAt(after, 'spec'), before.spec)
        ? [`changes the policy ${DEFAULT_DENY}, without which everything reaches everything`]
        : [];
    case 'ServiceAccount':
      return valueAt(after, 'automountServiceAccountToken') === false
        ? []
        : ['gives pods a service-account token (automountServiceAccountToken)'];
    case 'Deployment':
      return [...brokenDeployment(before, after), ...brokenPodInvariants(before, valueAt(after, 'spec', 'template'))];
    case 'Job':
      return brokenPodInvariants(before, valueAt(after, 'spec', 'template'));
    case 'CronJob':
      return brokenPodInvariants(before, valueAt(after, 'spec', 'jobTemplate', 'spec', 'template'));
    default:
      return [];
  }
}

function brokenDeployment(before: KubernetesObject & { kind: 'Deployment' }, after: unknown): string[] {
  const problems: string[] = [];
  if (!isDeepStrictEqual(valueAt(after, 'spec', 'selector'), before.spec?.selector))
    problems.push('changes spec.selector, by which running pods are found');
  if (before.spec?.replicas === undefined && valueAt(after, 'spec', 'replicas') !== undefined)
    problems.push(
      'sets spec.replicas, which is scaled and so owned by something else; change replicas: in slipway.yaml',
    );
  return problems;
}
