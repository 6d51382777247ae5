import type { z } from 'zod';
import type { App, Place, Problem } from './app.ts';
import { withDefaults } from './defaults.ts';
import { readYaml } from './document.ts';
import type { Issue, Path, YamlDocument } from './document.ts';
import { quote } from './names.ts';
import { nearest } from './nearest.ts';
import { brokenRules, isMapping, oneOf } from './rules.ts';
import type { Mapping } from './rules.ts';
import { describe } from './fields.ts';
import { fileSchema } from './schema.ts';

export type ParsedApp = { ok: true; app: App } | { ok: false; problems: Problem[] };

/** More are not reported: who has so many mistakes mends the first ones first. */
const MAX_PROBLEMS = 100;

/**
 * Reads `slipway.yaml`. Never throws, and reports every mistake at once, in the order of the file.
 *
 * @param text The file as it is, at most 256 KiB.
 * @param options `file` is the name in the problems (default `slipway.yaml`); `defaultBranch` is what the default `staging`
 *   follows when the file names no environments (default: null, whatever the repository's default branch is).
 * @example
 * const parsed = parseApp(text, {});
 * if (!parsed.ok) console.error(parsed.problems.map(formatProblem).join('\n'));
 */
export function parseApp(text: string, options: { file?: string; defaultBranch?: string } = {}): ParsedApp {
  const file = options.file ?? 'slipway.yaml';
  const { document, problems } = readYaml(text, file);
  if (!document) return { ok: false, problems: inOrder(problems) };
  const { root } = document;
  if (!isMapping(root)) {
    const found = root === null ? 'found an empty file' : `found ${describe(root)}`;
    const message = `${found}, expected a mapping that begins with "app:"; "slipway init" writes one`;
    return { ok: false, problems: inOrder([...problems, document.problem({ path: [], at: 'value', message })]) };
  }
  keepWrittenConfig(root, document);
  const parsed = fileSchema.safeParse(root);
  const issues = [...(parsed.success ? [] : schemaIssues(parsed.error.issues, root)), ...brokenRules(root)];
  const placeOf = (path: Path): Place => {
    const { message: _, ...place } = document.problem({ path, at: 'value', message: '' });
    return place;
  };
  if (parsed.success) issues.push(...smallerFallbacks(withDefaults(parsed.data, null, placeOf)));
  const all = [...problems, ...withoutMisspelt(issues).map((issue) => document.problem(issue))];
  if (!parsed.success || all.length > 0) return { ok: false, problems: inOrder(all) };
  return { ok: true, app: withDefaults(parsed.data, options.defaultBranch ?? null, placeOf) };
}

/** `slipway.yaml:6:5 services.web.prots: unknown key "prots", ...` */
export function formatProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  return problem.path === '' ? `${place} ${problem.message}` : `${place} ${problem.path}: ${problem.message}`;
}

/** By position, each mistake once (aliases lead to one place along several paths). */
export function inOrder(problems: Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems
    .filter((problem) => {
      const key = `${problem.line}:${problem.column}:${problem.message}`;
      return !seen.has(key) && seen.add(key);
    })
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .slice(0, MAX_PROBLEMS);
}

/** `1.10` and `0x1F` as values of variables are what was written, not 1.1 and 31. */
function keepWrittenConfig(root: Mapping, document: YamlDocument): void {
  const config = root['config'];
  if (!isMapping(config)) return;
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === 'number' || typeof value === 'boolean')
      config[name] = document.written(['config', name]) ?? `${value}`;
  }
}

/** Needs defaults filled in: a lane that is given in part is completed from the other. */
function smallerFallbacks(app: App): Issue[] {
  const issues: Issue[] = [];
  for (const [name, worker] of Object.entries(app.workers)) {
    for (const field of ['cpu', 'memory', 'timeout'] as const) {
      if (worker.fallback && worker.fallback[field] < worker.normal[field]) {
        const message = `found less ${field} than in the normal lane, expected at least as much: tasks come here because the normal lane was too small`;
        issues.push({ path: ['workers', name, 'fallback', field], at: 'value', message });
      }
    }
  }
  return issues;
}

/** A required key that is there, but misspelt, is told once: as what was found, not as what is missing. */
function withoutMisspelt(issues: Issue[]): Issue[] {
  const meant = new Set(issues.flatMap((issue) => (issue.meant ? [JSON.stringify(issue.meant)] : [])));
  return issues.filter(({ lacks = [] }) => !lacks.some((path) => meant.has(JSON.stringify(path))));
}

function schemaIssues(issues: readonly z.core.$ZodIssue[], root: Mapping): Issue[] {
  return issues.flatMap((issue): Issue[] => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(issue.path, key));
    // The only union is `host`: one name or a list of them.
    if (issue.code === 'invalid_union') return schemaIssues(matching(issue, valueAt(root, issue.path)), root);
    const value = valueAt(root, issue.path);
    const lacks = value === undefined ? [issue.path] : [];
    if (issue.code !== 'invalid_type') return [{ path: issue.path, at: 'value', message: issue.message, lacks }];
    const found = describe(value);
    return [
      {
        path: issue.path,
        at: 'value',
        message: `found ${found}, expected ${expectedType(issue.expected, issue.path)}`,
        lacks,
      },
    ];
  });
}

function matching(issue: z.core.$ZodIssueInvalidUnion, value: unknown): z.core.$ZodIssue[] {
  const branch = issue.errors[Array.isArray(value) ? 1 : 0] ?? [];
  return branch.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

function expectedType(type: string, path: Path): string {
  if (type === 'array') return 'a list, such as [one, two]';
  const keys = keysAt(path);
  return keys.length === 0 ? 'a mapping of names' : `a mapping with ${oneOf(keys)}`;
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) value = childOf(value, part);
  return value;
}

/** What other tools call the same thing. */
const SYNONYMS: Record<string, string> = {
  cmd: 'run',
  command: 'run',
  cron: 'schedule',
  cpu: 'size',
  depends_on: 'needs',
  domain: 'host',
  env: 'config',
  environment: 'config',
  healthcheck: 'health',
  instances: 'replicas',
  mem: 'memory',
  memory: 'size',
  name: 'app',
  path: 'route',
  resources: 'size',
  scale: 'replicas',
  variables: 'config',
};

function unknownKey(path: Path, key: string): Issue {
  const keys = keysAt(path);
  const synonym = Object.hasOwn(SYNONYMS, key) ? SYNONYMS[key] : undefined;
  const near = synonym !== undefined && keys.includes(synonym) ? synonym : nearest(key, keys);
  const hint = near === null ? '' : `; did you mean "${near}"?`;
  return {
    path: [...path, key],
    at: 'key',
    message: `unknown key ${quote(key)}, expected one of ${oneOf(keys, 20)}${hint}`,
    ...(near === null ? {} : { meant: [...path, near] }),
  };
}

/** The keys a mapping at this place may have; empty where they are names of the team's own. */
function keysAt(path: Path): string[] {
  let schema: unknown = fileSchema;
  for (const part of path) schema = childSchema(unwrapped(schema), part);
  const shape = childOf(unwrapped(schema), 'shape');
  return typeof shape === 'object' && shape !== null ? Object.keys(shape) : [];
}

/** What zod keeps about a schema, with optional and nullable wrappers taken off. */
function unwrapped(schema: unknown): unknown {
  const def = childOf(schema, 'def');
  const inner = childOf(def, 'innerType');
  return inner === undefined ? def : unwrapped(inner);
}

function childSchema(def: unknown, part: PropertyKey): unknown {
  const shape = childOf(def, 'shape');
  return childOf(shape, part) ?? childOf(def, 'catchall') ?? childOf(def, 'valueType') ?? childOf(def, 'element');
}

function childOf(parent: unknown, name: PropertyKey): unknown {
  return typeof parent === 'object' && parent !== null ? Reflect.get(parent, name) : undefined;
}
