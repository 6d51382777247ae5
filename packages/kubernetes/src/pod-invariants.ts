import type { KubernetesObject } from './kubernetes-object.ts';
import { isMapping, mappingsAt, valueAt } from './json-value.ts';
import type { Mapping } from './json-value.ts';
import { podLabelsOf, podSpecOf } from './pod-spec.ts';

/**
 * The Pod Security Standard `restricted`, as far as a field could break it by oversight, told with a reason where the file is written. The
 * API server keeps all of it, by the labels of the namespace.
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */

const VOLUME_TYPES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
];
const CAPABILITIES = ['NET_BIND_SERVICE'];
const SECCOMP = ['RuntimeDefault', 'Localhost'];
const HOST_NAMESPACES = ['hostNetwork', 'hostPID', 'hostIPC'];

/** @param template The pod template of `before` after a patch. */
export function brokenPodInvariants(before: KubernetesObject, template: unknown): string[] {
  const spec = valueAt(template, 'spec');
  const containers = containersOf(spec);
  if (!containers) return ['leaves the pods without a list of containers that each have a name'];
  return [
    ...lostLabels(before, template),
    ...brokenAccount(before, spec),
    ...HOST_NAMESPACES.filter((name) => valueAt(spec, name) === true).map((name) => `shares ${name} with the node`),
    ...mappingsAt(spec, 'volumes').flatMap(brokenVolume),
    ...containers.flatMap((container) => brokenContainer(spec, container)),
  ];
}

/** All of them, those that run first too; null when there is something else in their place. */
function containersOf(spec: unknown): Mapping[] | null {
  const lists = [valueAt(spec, 'initContainers') ?? [], valueAt(spec, 'containers') ?? []];
  const all = lists.every((list) => Array.isArray(list)) ? (lists.flat() as unknown[]) : [null];
  const named = all.filter((one) => isMapping(one)).filter(({ name }) => typeof name === 'string');
  return named.length === all.length && mappingsAt(spec, 'containers').length > 0 ? named : null;
}

/** Those of the owner, and those that the selector asks for. */
function lostLabels(before: KubernetesObject, template: unknown): string[] {
  return Object.entries(podLabelsOf(before) ?? {})
    .filter(([name, value]) => valueAt(template, 'metadata', 'labels', name) !== value)
    .map(([name]) => `changes the label ${name} of the pods, by which they are found`);
}

function brokenAccount(before: KubernetesObject, spec: unknown): string[] {
  const account = podSpecOf(before)?.serviceAccountName;
  return [
    ...(valueAt(spec, 'automountServiceAccountToken') === false
      ? []
      : ['gives pods a service-account token (automountServiceAccountToken)']),
    ...(valueAt(spec, 'serviceAccountName') === account
      ? []
      : ['changes serviceAccountName, the account without rights']),
  ];
}

function brokenVolume(volume: Mapping): string[] {
  const name = String(volume['name']);
  const types = Object.keys(volume).filter((key) => key !== 'name' && !VOLUME_TYPES.includes(key));
  const tokens = mappingsAt(volume, 'projected', 'sources').some(
    (source) => source['serviceAccountToken'] !== undefined,
  );
  return [
    ...types.map((type) =>
      type === 'hostPath'
        ? `mounts a path of the node (volume ${name}: hostPath)`
        : `adds the volume ${name} of the kind ${type}, expected one of ${VOLUME_TYPES.join(', ')}`,
    ),
    ...(tokens ? [`gives pods a service-account token (volume ${name})`] : []),
  ];
}

function brokenContainer(spec: unknown, container: Mapping): string[] {
  const name = String(container['name']);
  const own = valueAt(container, 'securityContext');
  /** A container's own word counts, else the pod's. */
  const effective = (...path: string[]): unknown => valueAt(own, ...path) ?? valueAt(spec, 'securityContext', ...path);
  const problems: string[] = [];
  if (valueAt(own, 'privileged') === true) problems.push('is privileged');
  if (valueAt(own, 'allowPrivilegeEscalation') !== false)
    problems.push('may get more privileges (allowPrivilegeEscalation)');
  if (effective('runAsNonRoot') !== true) problems.push('may be root (runAsNonRoot)');
  if (effective('runAsUser') === 0) problems.push('is root (runAsUser: 0)');
  if (!SECCOMP.includes(String(effective('seccompProfile', 'type')))) problems.push('has no seccomp profile');
  problems.push(...brokenCapabilities(own));
  if (mappingsAt(container, 'ports').some((port) => (port['hostPort'] ?? 0) !== 0))
    problems.push('takes a port of the node (hostPort)');
  for (const [kind, resource] of [
    ['requests', 'cpu'],
    ['requests', 'memory'],
    ['limits', 'memory'],
  ] as const) {
    const quantity = valueAt(container, 'resources', kind, resource);
    if (typeof quantity !== 'string' && typeof quantity !== 'number')
      problems.push(`has no ${resource} in resources.${kind}`);
  }
  return problems.map((problem) => `leaves a container "${name}" that ${problem}`);
}

function brokenCapabilities(context: unknown): string[] {
  const dropped = valueAt(context, 'capabilities', 'drop');
  const added = valueAt(context, 'capabilities', 'add') ?? [];
  const more = Array.isArray(added) ? added.map(String).filter((name) => !CAPABILITIES.includes(name)) : ['?'];
  return [
    ...(Array.isArray(dropped) && dropped.includes('ALL') ? [] : ['keeps capabilities (drop: [ALL])']),
    ...(more.length === 0 ? [] : [`has the capability ${more.join(', ')}`]),
  ];
}
