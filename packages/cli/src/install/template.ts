/**
 * Objects with holes. The chart and `slipway install` are made of one description of what is installed, and neither is a copy of the other:
 *
 * | reader         | makes of a hole                                              |
 * | -------------- | ------------------------------------------------------------ |
 * | `fill`         | what the values say: the objects of `slipway install`        |
 * | `helmTemplate` | an action of Helm's templates: the files of `chart/templates` |
 *
 * The other way round, a description in Helm's language read by us, would need an interpreter of Go's templates; so holes are few in kind, and
 * both readers are short. Tests hold the chart's files against this, and what Helm makes of them against `fill`.
 */
export type Template =
  | string
  | number
  | boolean
  | null
  | Hole
  | readonly Template[]
  | { readonly [key: string]: Template };

/** What is filled in. */
export type Hole =
  | { hole: 'value'; path: string; required: string | null }
  | { hole: 'choice'; path: string; otherwise: Hole }
  | { hole: 'text'; parts: readonly (string | TextHole)[] }
  | { hole: 'when'; condition: Condition; content: Template }
  | { hole: 'each'; path: string; item: (item: Template) => Template }
  | { hole: 'item' }
  | { hole: 'release' | 'namespace' | 'manager' | 'adminToken' };

/** What may stand in a text. */
export type TextHole = { hole: 'release' | 'namespace' } | { hole: 'json'; path: string };

export type Condition =
  | { is: 'given'; path: string }
  | { is: 'equal'; path: string; to: string }
  | { is: 'not'; what: Condition }
  | { is: 'both'; one: Condition; other: Condition };

/** A value of any form. @param required what to say when there is none. */
export function value(path: string, required: string | null = null) {
  return { hole: 'value', path, required } as const;
}

/** A value if it is given, else something that always is. */
export function valueOr(path: string, otherwise: Hole): Hole {
  return { hole: 'choice', path, otherwise };
}

/** A value written as JSON, in a text. */
export function json(path: string) {
  return { hole: 'json', path } as const;
}

export function text(...parts: readonly (string | TextHole)[]): Hole {
  return { hole: 'text', parts };
}

/** Of a mapping's key or a list's element: without it the key or element is left out. A list as element of a list stands for its elements. */
export function when(condition: Condition, content: Template): Hole {
  return { hole: 'when', condition, content };
}

/** As element of a list: one element for each of the value's. */
export function each(path: string, item: (item: Template) => Template): Hole {
  return { hole: 'each', path, item };
}

/** Not empty, in the sense of both languages. */
export function given(path: string): Condition {
  return { is: 'given', path };
}

export function equal(path: string, to: string): Condition {
  return { is: 'equal', path, to };
}

export function not(what: Condition): Condition {
  return { is: 'not', what };
}

export function both(one: Condition, other: Condition): Condition {
  return { is: 'both', one, other };
}

/** What the installation is called; the name of most objects. */
export const release = { hole: 'release' } as const;
export const namespace = { hole: 'namespace' } as const;
/** Who installs: the value of `app.kubernetes.io/managed-by`. */
export const manager = { hole: 'manager' } as const;
/** The token of the Secret that is there, else a new one. */
export const adminToken = { hole: 'adminToken' } as const;

export function isHole(template: Template): template is Hole {
  return typeof template === 'object' && template !== null && 'hole' in template;
}

export function isList(template: Template): template is readonly Template[] {
  return Array.isArray(template);
}
