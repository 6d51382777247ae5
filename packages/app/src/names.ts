export interface NameRule {
  pattern: RegExp;
  /** Completes the sentence "expected ...". */
  expected: string;
}

/**
 * Names become host names, process names, Kubernetes objects and folders, so one rule fits them all: a DNS label of at
 * most 40 characters that begins with a letter, as Kubernetes wants it; that leaves room for what Slipway adds to it.
 */
export const LABEL: NameRule = {
  pattern: /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/,
  expected: 'a name of lower-case letters, digits and inner hyphens, a letter first, at most 40 characters',
};
/** An app is also a repository, whose names have two characters or more. */
export const APP_NAME: NameRule = {
  pattern: /^[a-z][a-z0-9-]{0,38}[a-z0-9]$/,
  expected: 'a name of 2 to 40 characters: lower-case letters, digits and inner hyphens, a letter first',
};
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Words that lead somewhere else: `constructor` is on every JavaScript object, `localhost` is this machine. */
const RESERVED: ReadonlySet<string> = new Set(['constructor', 'localhost', 'slipway']);
/** Set by Slipway for every process; a value of the app's own would be lost or would break it. */
const RESERVED_VARIABLES: ReadonlySet<string> = new Set(['PORT', '__proto__']);

/** What is wrong with a name of a service, worker, job, check, database or environment; null when nothing is. */
export function nameProblem(name: string): string | null {
  return problemOf(name, LABEL);
}

/** What is wrong with a name of an app; null when nothing is. */
export function appNameProblem(name: string): string | null {
  return problemOf(name, APP_NAME);
}

/** Names of the right form that can't be used; null for all others. */
export function reservedProblem(name: string): string | null {
  return RESERVED.has(name) ? `the name "${name}" is reserved by Slipway, expected another one` : null;
}

function problemOf(name: string, { pattern, expected }: NameRule): string | null {
  if (RESERVED.has(name)) return reservedProblem(name);
  if (pattern.test(name)) return null;
  const near = nearestLabel(name, pattern);
  const suggestion = near === null || RESERVED.has(near) ? '' : `; did you mean "${near}"?`;
  return `found ${quote(name)}, expected ${expected}, because it becomes part of a host name${suggestion}`;
}

/** The nearest valid name of a text, or null when nothing usable is in it. */
export function nearestLabel(text: string, pattern: RegExp): string | null {
  const label = toLabel(text);
  return label !== null && pattern.test(label) ? label : null;
}

/** What is wrong with the name of an environment variable; null when nothing is. */
export function variableProblem(name: string): string | null {
  if (RESERVED_VARIABLES.has(name))
    return `"${name}" is reserved: Slipway sets it for every process, leave it out here`;
  if (/^SLIPWAY_/i.test(name))
    return `found ${quote(name)}, but names that begin with SLIPWAY_ are reserved for Slipway`;
  if (VARIABLE.test(name))
    return name.length <= 200 ? null : `found a name of ${name.length} characters, expected at most 200`;
  const fixed = name.replaceAll(/[^A-Za-z0-9]+/g, '_').replace(/^(\d)/, '_$1');
  return `found the name ${quote(name)}, expected letters, digits and underscores, not beginning with a digit; did you mean "${fixed.slice(0, 60)}"?`;
}

/**
 * The nearest valid name (a DNS label) of a text, or null when nothing usable is in it.
 *
 * @example toLabel('@acme/My Shop') // 'acme-my-shop'
 */
export function toLabel(text: string): string | null {
  const label = text
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replaceAll(/-+$/g, '');
  return LABEL.pattern.test(label) ? label : null;
}

/** The variable that tells a service's address to those that need it. */
export function addressVariable(service: string): string {
  return `${service.toUpperCase().replaceAll('-', '_')}_URL`;
}

/** A value as a person wrote it, short enough for one line. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}
