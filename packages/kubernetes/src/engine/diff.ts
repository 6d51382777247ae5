import { SlipwayError } from '@slipway/app';
import type { FieldChange, ObjectChange } from '@slipway/engine';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { objectPath, resourceOf } from '../api/resources.ts';
import { FIELD_MANAGER } from '../apply/managed-fields.ts';
import { APPLIED_ANNOTATION, keyOf, type Mark } from '../apply/mark.ts';
import { isMapping } from '../render/json-value.ts';
import type { KubernetesObject } from '../render/kubernetes-object.ts';
import { byText } from '../render/kubernetes-object.ts';
import { PROBE_HEADER } from '../render/route.ts';

/** What the API server or controllers fill in; it differs after every write. */
const VOLATILE = ['creationTimestamp', 'generation', 'managedFields', 'resourceVersion', 'selfLink', 'uid'];
const HIDDEN = '(hidden)';

/**
 * What applying objects would change, as the API server itself says it (a dry run of the same server-side apply, with its defaults and admission), and
 * which of those that are there would be deleted. Nothing is written. Values of Secrets are not told.
 *
 * @param there what Slipway has applied in the namespace until now.
 */
export async function diffObjects(
  api: ApiClient,
  namespace: string,
  objects: readonly KubernetesObject[],
  there: readonly Mark[],
): Promise<ObjectChange[]> {
  const wanted = new Set(objects.map(keyOf));
  const changed = await Promise.all(objects.map((object) => diffObject(api, namespace, object)));
  const deleted = there
    .filter(({ key, kind, applied }) => kind !== 'Namespace' && applied !== null && !wanted.has(key))
    .map(({ kind, name }): ObjectChange => ({ change: 'deleted', kind, name, fields: [] }))
    .sort((a, b) => byText(`${a.kind}/${a.name}`, `${b.kind}/${b.name}`));
  return [...changed.filter((one) => one !== null), ...deleted];
}

async function diffObject(api: ApiClient, namespace: string, object: KubernetesObject): Promise<ObjectChange | null> {
  const { kind, metadata } = object;
  const { name } = metadata;
  const at = objectPath(kind, resourceOf(kind).scope === 'cluster' ? null : namespace, name);
  const before = await found(api, at);
  if (before === null) return { change: 'created', kind, name, fields: [] };
  const after = await preview(api, at, object);
  // A probe asks for the version of a route, which is only made when it is applied.
  const changes = changesBetween(comparable(before), comparable(after)).filter(
    ({ path }) => !path.includes(PROBE_HEADER),
  );
  const fields = changes.map((change) =>
    kind === 'Secret' && change.path.startsWith('data') ? { path: change.path, before: HIDDEN, after: HIDDEN } : change,
  );
  return fields.length === 0 ? null : { change: 'changed', kind, name, fields };
}

async function preview(api: ApiClient, path: string, object: KubernetesObject): Promise<unknown> {
  try {
    return await api.apply<unknown>(path, object, FIELD_MANAGER, 'yes', 'dry-run');
  } catch (error) {
    if (error instanceof ApiError && error.status === 422)
      throw new SlipwayError('mistake', `The cluster would refuse ${keyOf(object)}: ${error.message}`, {
        cause: error,
      });
    throw error;
  }
}

async function found(api: ApiClient, path: string): Promise<unknown> {
  try {
    return await api.get<unknown>(path);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Without what no person wrote. */
function comparable(object: unknown): unknown {
  if (!isMapping(object)) return object;
  const { status: _, metadata, ...rest } = object;
  if (!isMapping(metadata)) return rest;
  const { annotations, ...about } = metadata;
  const kept = Object.fromEntries(Object.entries(about).filter(([key]) => !VOLATILE.includes(key)));
  const notes = isMapping(annotations)
    ? Object.fromEntries(Object.entries(annotations).filter(([key]) => key !== APPLIED_ANNOTATION))
    : {};
  return { ...rest, metadata: { ...kept, annotations: notes } };
}

/**
 * Fields that differ, by path. Elements of lists that have names are compared by these.
 *
 * @example changesBetween({ a: [{ name: 'x', b: 1 }] }, { a: [{ name: 'x', b: 2 }] }) // [{ path: 'a[x].b', before: '1', after: '2' }]
 */
export function changesBetween(before: unknown, after: unknown, path = ''): FieldChange[] {
  const [old, now] = [partsOf(before), partsOf(after)];
  if (old === null || now === null) {
    const [from, to] = [textOf(before), textOf(after)];
    return from === to ? [] : [{ path, before: from, after: to }];
  }
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys.flatMap((key) =>
    changesBetween(old.get(key), now.get(key), key.startsWith('[') || path === '' ? path + key : `${path}.${key}`),
  );
}

/** What a value consists of, by name; null: it is one thing. */
function partsOf(value: unknown): Map<string, unknown> | null {
  if (isMapping(value)) return new Map(Object.entries(value));
  if (!Array.isArray(value) || !value.some(isMapping)) return null;
  return new Map(value.map((element: unknown, index) => [`[${nameIn(element) ?? index}]`, element]));
}

function nameIn(element: unknown): string | null {
  const name = isMapping(element) ? (element['name'] ?? element['mountPath'] ?? element['containerPort']) : null;
  return typeof name === 'string' || typeof name === 'number' ? String(name) : null;
}

function textOf(value: unknown): string | null {
  if (value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
