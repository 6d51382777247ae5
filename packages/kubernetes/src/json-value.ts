/** Reading of what a patch may have made of an object: nothing is known about its shape. */
export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is at a path of keys; undefined where the path ends before. */
export function valueAt(value: unknown, ...path: string[]): unknown {
  let at = value;
  for (const key of path) at = isMapping(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return at;
}

/** The mappings of a list at a path; none when there is no list. */
export function mappingsAt(value: unknown, ...path: string[]): Mapping[] {
  const list = valueAt(value, ...path);
  return Array.isArray(list) ? list.filter(isMapping) : [];
}
