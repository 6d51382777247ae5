import { isDeepStrictEqual } from 'node:util';
import type { JsonPatchOperation } from '@slipway/app';
import { isMapping } from './json-value.ts';
import { PatchFailed } from './patch-failed.ts';

/**
 * Applies a JSON patch (RFC 6902): its operations one after the other, or none.
 *
 * @param document Is not changed.
 * @throws {PatchFailed}
 */
export function applyJsonPatch(document: unknown, operations: readonly JsonPatchOperation[]): unknown {
  // The root has a parent here, so that "" is a place like any other.
  const root = { '': structuredClone(document) };
  for (const operation of operations) apply(root, operation);
  return root[''];
}

function apply(root: Record<'', unknown>, { op, path, from = '', value }: JsonPatchOperation): void {
  switch (op) {
    case 'add':
      return add(root, path, structuredClone(value));
    case 'remove':
      return void remove(root, path);
    case 'replace':
      return replace(root, path, structuredClone(value));
    case 'move':
      if (path.startsWith(`${from}/`)) throw new PatchFailed(`moves "${from}" into itself`);
      return add(root, path, remove(root, from));
    case 'copy':
      return add(root, path, structuredClone(get(root, from)));
    case 'test':
      if (!isDeepStrictEqual(get(root, path), value))
        throw new PatchFailed(`expects another value at "${path}" than there is`);
  }
}

function add(root: unknown, pointer: string, value: unknown): void {
  const { parent, key } = locate(root, pointer);
  if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : indexOf(parent, key, pointer, 0), 0, value);
  else set(parent, key, value);
}

function remove(root: unknown, pointer: string): unknown {
  const { parent, key } = locate(root, pointer);
  const value = get(root, pointer);
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
  return value;
}

function replace(root: unknown, pointer: string, value: unknown): void {
  get(root, pointer);
  const { parent, key } = locate(root, pointer);
  if (Array.isArray(parent)) parent[Number(key)] = value;
  else set(parent, key, value);
}

function get(root: unknown, pointer: string): unknown {
  const { parent, key } = locate(root, pointer);
  if (Array.isArray(parent)) return parent[indexOf(parent, key, pointer, 1)];
  if (!Object.hasOwn(parent, key)) throw new PatchFailed(`finds nothing at "${pointer}"`);
  return parent[key];
}

/** What the last part of a pointer is in. */
function locate(root: unknown, pointer: string): { parent: unknown[] | Record<string, unknown>; key: string } {
  const keys = pointer.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() ?? '';
  let parent = root;
  for (const key of keys) {
    if (Array.isArray(parent)) parent = parent[indexOf(parent, key, pointer, 1)] as unknown;
    else parent = isMapping(parent) && Object.hasOwn(parent, key) ? parent[key] : undefined;
  }
  if (!Array.isArray(parent) && !isMapping(parent))
    throw new PatchFailed(`finds nothing to hold "${pointer}": add what is above it first`);
  return { parent, key: last };
}

/** @param less 1: one of the elements; 0: also the place after the last. */
function indexOf(list: readonly unknown[], key: string, pointer: string, less: 0 | 1): number {
  const index = /^(0|[1-9]\d{0,8})$/.test(key) ? Number(key) : -1;
  if (index < 0 || index > list.length - less)
    throw new PatchFailed(`finds no place "${key}" of "${pointer}" in a list of ${list.length}`);
  return index;
}

/** Also for a key such as `__proto__`, which an assignment would not make a key. */
function set(parent: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}
