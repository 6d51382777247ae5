import { SlipwayError } from '@slipway/app';
import { isHole, isList, type Condition, type Hole, type Template, type TextHole } from './template.ts';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What holes are filled with. */
export interface Filling {
  values: Json;
  release: string;
  namespace: string;
  manager: string;
  adminToken: string;
}

/** Left out by a condition. */
const NOTHING = Symbol('nothing');

/**
 * Fills every hole.
 *
 * @returns null when the whole is left out by a condition.
 * @throws {SlipwayError} `mistake` when a value is missing.
 */
export function fill(template: Template, filling: Filling): Json {
  const filled = fillOne(template, { ...filling, item: null });
  return filled === NOTHING ? null : filled;
}

type Scope = Filling & { item: Json };

function fillOne(template: Template, scope: Scope): Json | typeof NOTHING {
  if (template === null || typeof template !== 'object') return template;
  if (isHole(template)) return fillHole(template, scope);
  if (isList(template)) return fillList(template, scope);
  const mapping: { [key: string]: Json } = {};
  for (const [key, content] of Object.entries(template)) {
    const filled = fillOne(content, scope);
    if (filled !== NOTHING) mapping[key] = filled;
  }
  return mapping;
}

function fillList(list: readonly Template[], scope: Scope): Json[] {
  return list.flatMap((element) => {
    const filled = fillOne(element, scope);
    return filled === NOTHING ? [] : Array.isArray(filled) ? filled : [filled];
  });
}

function fillHole(hole: Hole, scope: Scope): Json | typeof NOTHING {
  switch (hole.hole) {
    case 'value': {
      const found = valueAt(scope.values, hole.path);
      if (hole.required !== null && !isGiven(found)) throw new SlipwayError('mistake', hole.required);
      return found;
    }
    case 'choice': {
      const found = valueAt(scope.values, hole.path);
      return isGiven(found) ? found : fillHole(hole.otherwise, scope);
    }
    case 'text':
      return hole.parts.map((part) => (typeof part === 'string' ? part : textOf(part, scope))).join('');
    case 'when':
      return holds(hole.condition, scope.values) ? fillOne(hole.content, scope) : NOTHING;
    case 'each': {
      const elements = valueAt(scope.values, hole.path);
      if (!Array.isArray(elements)) return NOTHING;
      return elements.flatMap((item) => fillList([hole.item({ hole: 'item' })], { ...scope, item }));
    }
    case 'item':
      return scope.item;
    default:
      return scope[hole.hole];
  }
}

function textOf(part: TextHole, scope: Scope): string {
  return part.hole === 'json' ? sortedJson(valueAt(scope.values, part.path)) : scope[part.hole];
}

/** With its keys in order, as Go writes it: a pod is not replaced because another tool has installed it. */
function sortedJson(value: Json): string {
  return JSON.stringify(value, (_, part: Json) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function holds(condition: Condition, values: Json): boolean {
  switch (condition.is) {
    case 'given':
      return isGiven(valueAt(values, condition.path));
    case 'equal':
      return valueAt(values, condition.path) === condition.to;
    case 'not':
      return !holds(condition.what, values);
    case 'both':
      return holds(condition.one, values) && holds(condition.other, values);
  }
}

/** As Go's templates see it. */
function isGiven(found: Json): boolean {
  if (Array.isArray(found)) return found.length > 0;
  if (typeof found === 'object' && found !== null) return Object.keys(found).length > 0;
  return Boolean(found);
}

function valueAt(values: Json, path: string): Json {
  let found: Json = values;
  for (const key of path.split('.')) {
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return null;
    found = found[key] ?? null;
  }
  return found;
}
