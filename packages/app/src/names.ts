/**
 * Names become host names, process names, Kubernetes objects and folders, so one rule fits them all: a DNS label of at
 * most 40 characters that begins with a letter, as Kubernetes wants it; that leaves room for what Slipway adds to it.
 */
export const LABEL_PATTERN = '^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$';
const LABEL = new RegExp(LABEL_PATTERN);
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Words that lead somewhere else: `constructor` is on every JavaScript object, `localhost` is this machine. */
const RESERVED: ReadonlySet<string> = new Set(['constructor', 'localhost', 'slipway']);
/** Set by Slipway for every process; a value of the app's own would be lost or would break it. */
const RESERVED_VARIABLES: ReadonlySet<string> = new Set(['PORT', '__proto__']);

/** What is wrong with a name of an app, service, worker, job, check, database or environment; null when nothing is. */
export function nameProblem(name: string): string | null {
  if (RESERVED.has(name)) return `the name "${name}" is reserved by Slipway, expected another one`;
  if (LABEL.test(name)) return null;
  const label = toLabel(name);
  const suggestion = label !== null && !RESERVED.has(label) ? `; did you mean "${label}"?` : '';
  return `found the name ${quote(name)}, expected lower-case letters, digits and inner hyphens, a letter first, at most 40 characters, because it becomes part of a host name${suggestion}`;
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
  return LABEL.test(label) ? label : null;
}

/** The variable that tells a service's address to those that need it. */
export function addressVariable(service: string): string {
  return `${service.toUpperCase().replaceAll('-', '_')}_URL`;
}

/** A value as a person wrote it, short enough for one line. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}
