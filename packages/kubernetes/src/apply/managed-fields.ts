import { createHash } from 'node:crypto';
import { isMapping } from '../render/json-value.ts';

/** The one manager of the fields that Slipway sets. Never changes: another name would be another owner. */
export const FIELD_MANAGER = 'slipway';

/** An entry of `metadata.managedFields`: which fields a manager set, and when it did last. */
export interface ManagedFields {
  manager?: string;
  operation?: string;
  subresource?: string;
  /** Full seconds. */
  time?: string;
  fieldsV1?: unknown;
}

/** Somebody else who wrote to an object of ours. */
export interface Editor {
  manager: string;
  /** Paths of fields, at most {@link MOST_FIELDS}. */
  fields: string[];
}

/** Controllers of Kubernetes write what is theirs to write. */
const CONTROLLERS = ['kube-controller-manager'];
const MOST_FIELDS = 5;

/**
 * A short text that changes when Slipway loses or gains a field of an object. Whoever changes the value of a field of ours takes it over, by
 * the rules of server-side apply; a status, or a field that only others set, leaves it as it is. So two texts that differ mean an edit of ours.
 *
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
export function ownFields(entries: readonly ManagedFields[]): string {
  const own = entries.find((one) => one.manager === FIELD_MANAGER && one.operation === 'Apply');
  if (own === undefined) return 'none';
  return createHash('sha256').update(JSON.stringify(own.fieldsV1)).digest('hex').slice(0, 10);
}

/** Who wrote last to an object, at the time of Slipway's last write or after it; null: nobody but Slipway and Kubernetes. */
export function laterEditor(entries: readonly ManagedFields[]): Editor | null {
  const own = entries.find((one) => one.manager === FIELD_MANAGER && one.operation === 'Apply')?.time ?? '';
  const [last] = entries
    .filter(
      ({ manager = '', subresource, time = '' }) =>
        manager !== FIELD_MANAGER && subresource !== 'status' && time >= own && !CONTROLLERS.includes(manager),
    )
    .sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1));
  return last === undefined ? null : { manager: last.manager ?? 'somebody', fields: fieldPaths(last.fieldsV1) };
}

/**
 * Fields of a set as a person writes them.
 *
 * @example fieldPaths({ 'f:spec': { 'f:containers': { 'k:{"name":"web"}': { 'f:image': {} } } } }) // ['spec.containers[name=web].image']
 */
export function fieldPaths(set: unknown): string[] {
  const found: string[] = [];
  const walk = (value: unknown, path: string): void => {
    const children = isMapping(value) ? Object.entries(value).filter(([key]) => key !== '.') : [];
    if (children.length === 0 && path !== '') found.push(path);
    for (const [key, child] of children) walk(child, path + step(key, path));
  };
  walk(set, '');
  return found.slice(0, MOST_FIELDS);
}

function step(key: string, path: string): string {
  const [kind, rest] = [key.slice(0, 2), key.slice(2)];
  if (kind === 'f:') return path === '' ? rest : `.${rest}`;
  if (kind !== 'k:') return `[${rest}]`;
  const keys: unknown = JSON.parse(rest);
  return isMapping(keys)
    ? `[${Object.entries(keys)
        .map(([name, value]) => `${name}=${String(value)}`)
        .join(',')}]`
    : `[${rest}]`;
}
