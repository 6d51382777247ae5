import type { App, Environment, Problem } from './app.ts';
import { readYaml } from './document.ts';
import type { Issue } from './document.ts';
import { SlipwayError } from './errors.ts';
import { nameProblem, quote, variableProblem } from './names.ts';
import { nearest } from './nearest.ts';
import { inOrder } from './parse.ts';
import { isMapping, oneOf } from './rules.ts';
import { describe } from './fields.ts';
import { variable } from './schema.ts';

/**
 * Where the values of `config:` are overridden for one environment, in the order they apply. Files may be missing.
 *
 * | source | files |
 * | --- | --- |
 * | branch, environment | `config/<environment>.yaml` |
 * | pull-requests | `config/preview.yaml`, then `config/<environment>.yaml` |
 *
 * @throws {SlipwayError} `mistake` when `environment` is no valid name: it becomes a path.
 */
export function configPaths(environment: string, source: Environment['source']): string[] {
  const problem = nameProblem(environment);
  if (problem !== null) throw new SlipwayError('mistake', problem);
  const own = `config/${environment}.yaml`;
  return source === 'pull-requests' && environment !== 'preview' ? ['config/preview.yaml', own] : [own];
}

/**
 * Reads one `config/<environment>.yaml`: a flat mapping of variables to values. Never throws; an empty file is no values.
 * Values that look like numbers keep the form they were written in.
 *
 * @param options With `app`, a key that `config:` of that app does not declare is a problem: a misspelt override would
 *   otherwise change nothing, and nobody would know.
 */
export function parseConfig(
  text: string,
  options: { file: string; app?: App },
): { ok: true; values: Record<string, string> } | { ok: false; problems: Problem[] } {
  const { document, problems } = readYaml(text, options.file);
  if (!document) return { ok: false, problems: inOrder(problems) };
  const root = document.root ?? {};
  const values: Record<string, string> = {};
  const issues: Issue[] = [];
  if (!isMapping(root)) {
    issues.push({
      path: [],
      at: 'value',
      message: `found ${describe(root)}, expected a mapping of variables to values, such as LOG_LEVEL: debug`,
    });
  }
  for (const [name, value] of isMapping(root) ? Object.entries(root) : []) {
    const problem = variableProblem(name) ?? (options.app ? undeclared(name, options.app) : null);
    if (problem !== null) issues.push({ path: [name], at: 'key', message: problem });
    const written = typeof value === 'number' || typeof value === 'boolean' ? document.written([name]) : value;
    const reading = variable(written);
    if ('value' in reading) values[name] = reading.value;
    else {
      const hint = reading.wrong === '' ? '' : `; ${reading.wrong}`;
      issues.push({ path: [name], at: 'value', message: `found ${describe(value)}, expected text or a number${hint}` });
    }
  }
  const all = [...problems, ...issues.map((issue) => document.problem(issue))];
  return all.length > 0 ? { ok: false, problems: inOrder(all) } : { ok: true, values };
}

/**
 * The variables of one environment: `config:` of the app, then each layer over it, the last one wins.
 *
 * @throws {SlipwayError} `mistake` for a key that `config:` does not declare.
 * @example resolveConfig(app, [{ LOG_LEVEL: 'debug' }]) // { LOG_LEVEL: 'debug', ... }
 */
export function resolveConfig(app: App, layers: readonly Record<string, string>[]): Record<string, string> {
  const values = { ...app.config };
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer)) {
      const problem = undeclared(name, app);
      if (problem !== null) throw new SlipwayError('mistake', problem);
      values[name] = value;
    }
  }
  return values;
}

function undeclared(name: string, app: App): string | null {
  if (Object.hasOwn(app.config, name)) return null;
  if (app.secrets.includes(name))
    return `${quote(name)} is one of secrets, expected its value encrypted in secrets/<environment>.yaml, not here`;
  const keys = Object.keys(app.config);
  const near = nearest(name, keys);
  const known = keys.length === 0 ? 'but slipway.yaml declares no config' : `expected one of ${oneOf(keys)}`;
  const help =
    near === null
      ? `add it to config: in slipway.yaml to use it`
      : `did you mean "${near}"? Otherwise add it to config: in slipway.yaml`;
  return `unknown key ${quote(name)}, ${known}; ${help}`;
}
