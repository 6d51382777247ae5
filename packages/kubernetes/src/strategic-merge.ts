import { isMapping } from './json-value.ts';
import type { Mapping } from './json-value.ts';
import { PatchFailed } from './patch-failed.ts';

/**
 * Lists whose elements have a name of their own, as the Kubernetes API declares them (`x-kubernetes-patch-merge-key`). All others are
 * replaced as a whole, also those of HTTPRoute, which is no built-in kind.
 * https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
 */
const POD_LISTS: ReadonlyMap<string, string> = new Map([
  ['containers', 'name'],
  ['env', 'name'],
  ['hostAliases', 'ip'],
  ['imagePullSecrets', 'name'],
  ['initContainers', 'name'],
  ['ports', 'containerPort'],
  ['topologySpreadConstraints', 'topologyKey'],
  ['volumeDevices', 'devicePath'],
  ['volumeMounts', 'mountPath'],
  ['volumes', 'name'],
]);
const LISTS: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  ['CronJob', POD_LISTS],
  ['Deployment', POD_LISTS],
  ['Job', POD_LISTS],
  ['Service', new Map([['ports', 'port']])],
  [
    'ServiceAccount',
    new Map([
      ['imagePullSecrets', 'name'],
      ['secrets', 'name'],
    ]),
  ],
]);
const DIRECTIVE = '$patch';

/**
 * Applies a strategic merge patch: mappings are merged, `null` takes a key out, lists with named elements are merged by these names, all other
 * values are replaced. `$patch: delete` takes an element out, `$patch: replace` keeps nothing of what was there.
 *
 * @param object Is not changed.
 * @throws {PatchFailed}
 */
export function mergeStrategically(kind: string, object: unknown, patch: Mapping): unknown {
  if (patch[DIRECTIVE] !== undefined)
    throw new PatchFailed(`has ${DIRECTIVE} at its top, but whole objects are neither taken out nor replaced`);
  return mergeMapping(object, patch, LISTS.get(kind) ?? new Map(), '');
}

function mergeMapping(before: unknown, patch: Mapping, lists: ReadonlyMap<string, string>, path: string): unknown {
  const directive = directiveOf(patch, path);
  if (directive === 'delete') return undefined;
  const merged = new Map(isMapping(before) && directive === 'merge' ? Object.entries(before) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (key === DIRECTIVE) continue;
    const at = path === '' ? key : `${path}.${key}`;
    if (key.startsWith('$')) throw new PatchFailed(`has ${at}, expected only $patch of the directives`);
    const result = mergeValue(merged.get(key), value, lists, { key, path: at });
    if (result === undefined) merged.delete(key);
    else merged.set(key, result);
  }
  return Object.fromEntries(merged);
}

function mergeValue(
  before: unknown,
  value: unknown,
  lists: ReadonlyMap<string, string>,
  { key, path }: { key: string; path: string },
): unknown {
  if (value === null) return undefined;
  if (isMapping(value)) return mergeMapping(before, value, lists, path);
  if (!Array.isArray(value)) return value;
  const mergeKey = lists.get(key);
  if (mergeKey === undefined) return value;
  return mergeList(Array.isArray(before) ? before : [], value, mergeKey, lists, path);
}

function mergeList(
  before: readonly unknown[],
  elements: readonly unknown[],
  mergeKey: string,
  lists: ReadonlyMap<string, string>,
  path: string,
): unknown[] {
  const replaces = elements.some(
    (element) => isMapping(element) && element[DIRECTIVE] === 'replace' && element[mergeKey] === undefined,
  );
  const merged = replaces ? [] : [...before];
  for (const element of elements) {
    if (isMapping(element) && replaces && element[mergeKey] === undefined) continue;
    const name = isMapping(element) ? element[mergeKey] : undefined;
    if (!isMapping(element) || name === undefined)
      throw new PatchFailed(`has an element of ${path} without ${mergeKey}, by which it is found`);
    const index = merged.findIndex((other) => isMapping(other) && other[mergeKey] === name);
    const result = mergeMapping(merged[index], element, lists, path);
    if (index < 0 && result !== undefined) merged.push(result);
    else if (index >= 0) merged.splice(index, 1, ...(result === undefined ? [] : [result]));
  }
  return merged;
}

function directiveOf(patch: Mapping, path: string): 'merge' | 'replace' | 'delete' {
  const directive = patch[DIRECTIVE] ?? 'merge';
  if (directive === 'merge' || directive === 'replace' || directive === 'delete') return directive;
  throw new PatchFailed(`has ${DIRECTIVE}: ${JSON.stringify(directive)} in ${path}, expected delete, replace or merge`);
}
