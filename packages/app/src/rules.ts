import type { Issue, Path } from './document.ts';
import { addressVariable, nameProblem, quote, reservedProblem, variableProblem } from './names.ts';
import { nearest } from './nearest.ts';
import { percentage } from './units.ts';

/**
 * The rules that span several fields. They look at the plain values rather than at the parsed ones, and skip what has
 * the wrong shape (the schema has said so), so that one mistake never hides another.
 */
export function brokenRules(root: Mapping): Issue[] {
  return [
    ...names(root),
    ...somethingToRun(root),
    ...needs(root),
    ...routes(root),
    ...jobs(root),
    ...variables(root),
    ...environmentSources(root),
    ...environmentDetails(root),
    ...images(root),
  ];
}

export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Stands for a thing of the wrong shape. */
const NOT_A_MAPPING: Mapping = {};

/** The named things of a section; things of the wrong shape are empty. */
function things(root: Mapping, section: string): Map<string, Mapping> {
  const value = root[section];
  const entries = isMapping(value) ? Object.entries(value) : [];
  return new Map(entries.map(([name, thing]) => [name, isMapping(thing) ? thing : NOT_A_MAPPING]));
}

function key(path: Path, message: string): Issue {
  return { path, at: 'key', message };
}

function value(path: Path, message: string): Issue {
  return { path, at: 'value', message };
}

function suggestion(name: string, candidates: Iterable<string>): string {
  const near = nearest(name, candidates);
  return near === null ? '' : `; did you mean "${near}"?`;
}

function names(root: Mapping): Issue[] {
  const issues: Issue[] = [];
  if (typeof root['app'] === 'string') {
    const problem = reservedProblem(root['app']);
    if (problem !== null) issues.push(value(['app'], problem));
  }
  const owners = new Map<string, string>();
  for (const section of ['services', 'workers', 'jobs', 'checks', 'databases', 'environments']) {
    for (const name of things(root, section).keys()) {
      const problem = nameProblem(name);
      if (problem !== null) issues.push(key([section, name], problem));
      if (section === 'environments' && /^pr-\d+$/.test(name)) {
        issues.push(
          key(
            [section, name],
            `the name "${name}" is reserved for the environment of a pull request, expected another one`,
          ),
        );
      }
      // Logs and addresses are found by name alone, so these three share one set of names.
      if (!['services', 'workers', 'jobs'].includes(section)) continue;
      const owner = owners.get(name);
      if (owner !== undefined)
        issues.push(
          key(
            [section, name],
            `the name "${name}" is taken by ${owner}.${name}, expected one that no other service, worker or job has`,
          ),
        );
      else owners.set(name, section);
    }
  }
  return issues;
}

function somethingToRun(root: Mapping): Issue[] {
  const sections = ['services', 'workers', 'jobs'];
  if (sections.some((section) => root[section] !== undefined && root[section] !== null && !isEmpty(root[section])))
    return [];
  const message = 'nothing to run: expected at least one service, such as services: { web: { run: npm start } }';
  return [{ ...key([], message), lacks: sections.map((section) => [section]) }];
}

function isEmpty(section: unknown): boolean {
  return isMapping(section) && Object.keys(section).length === 0;
}

function needs(root: Mapping): Issue[] {
  const services = things(root, 'services');
  const workers = things(root, 'workers');
  const issues: Issue[] = [];
  const edges = new Map<string, string[]>();
  for (const [name, service] of services) {
    const listed = Array.isArray(service['needs']) ? (service['needs'] as unknown[]) : [];
    const known: string[] = [];
    for (const [index, needed] of listed.entries()) {
      const path = ['services', name, 'needs', index];
      if (typeof needed !== 'string') continue;
      if (needed === name)
        issues.push(value(path, `found "${name}" itself, expected other services: a service can't wait for itself`));
      else if (workers.has(needed))
        issues.push(value(path, `found the worker "${needed}", expected a service: a worker has no address`));
      else if (!services.has(needed)) {
        const others = [...services.keys()].filter((other) => other !== name);
        const expected = others.length === 0 ? 'but the app has no other service' : `expected one of ${oneOf(others)}`;
        issues.push(value(path, `found ${quote(needed)}, ${expected}${suggestion(needed, others)}`));
      } else if (known.includes(needed)) issues.push(value(path, `"${needed}" is listed twice, expected once`));
      else known.push(needed);
    }
    edges.set(name, known);
  }
  for (const cycle of cycles(edges)) {
    issues.push(
      key(
        ['services', cycle[0] ?? '', 'needs'],
        `found a cycle, ${[...cycle, cycle[0]].join(' needs ')}: none of them could start first; remove one of these needs`,
      ),
    );
  }
  return issues;
}

/** The first `limit` names of a list, for a message. */
export function oneOf(candidates: readonly string[], limit = 12): string {
  const shown = candidates.slice(0, limit).map((name) => quote(name));
  return `${shown.join(', ')}${candidates.length > limit ? ` and ${candidates.length - limit} more` : ''}`;
}

/** Each cycle of a graph once, beginning with the node that was declared first. */
function cycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  for (const start of edges.keys()) {
    // Iterative depth first: a file may hold thousands of services in a row.
    const trail: { name: string; next: number }[] = done.has(start) ? [] : [{ name: start, next: 0 }];
    const position = new Map([[start, 0]]);
    for (let top = trail.at(-1); top; top = trail.at(-1)) {
      const target = edges.get(top.name)?.[top.next++];
      if (target === undefined) {
        done.add(top.name);
        position.delete(top.name);
        trail.pop();
      } else if (position.has(target)) {
        found.push(trail.slice(position.get(target)).map(({ name }) => name));
      } else if (!done.has(target)) {
        position.set(target, trail.length);
        trail.push({ name: target, next: 0 });
      }
    }
  }
  return found;
}

function routes(root: Mapping): Issue[] {
  const owners = new Map<string, string>();
  const issues: Issue[] = [];
  for (const [name, service] of things(root, 'services')) {
    if (typeof service['route'] !== 'string') continue;
    const route = normalRoute(service['route']);
    const owner = owners.get(route);
    if (owner === undefined) owners.set(route, name);
    else
      issues.push(
        value(
          ['services', name, 'route'],
          `found "${route}", which services.${owner} has already, expected a path of its own`,
        ),
      );
  }
  return issues;
}

/** `/api/` and `/api` are the same prefix. */
export function normalRoute(route: string): string {
  return route.replace(/\/+$/, '') || '/';
}

function jobs(root: Mapping): Issue[] {
  const both = [...things(root, 'jobs')].filter(
    ([, job]) => job['when'] !== undefined && job['schedule'] !== undefined,
  );
  return both.map(([name]) =>
    key(
      ['jobs', name, 'when'],
      'found both when and schedule, expected one of them: a scheduled job runs on its schedule only',
    ),
  );
}

/** Every environment variable has one owner. */
function variables(root: Mapping): Issue[] {
  const issues: Issue[] = [];
  const owners = new Map<string, string>();
  const claim = (name: string, owner: string, path: Path, at: Issue['at'], mayShare?: string): void => {
    const problem = variableProblem(name);
    if (problem !== null) issues.push({ path, at, message: problem });
    const other = owners.get(name);
    if (other === undefined) owners.set(name, owner);
    else if (other !== mayShare)
      issues.push({
        path,
        at,
        message: `${quote(name)} is also ${other}, expected it in one place: remove one of them`,
      });
  };
  const services = things(root, 'services');
  for (const service of services.values()) {
    const listed = Array.isArray(service['needs']) ? (service['needs'] as unknown[]) : [];
    for (const needed of listed) {
      if (typeof needed === 'string' && services.has(needed))
        owners.set(addressVariable(needed), `the address of the service "${needed}"`);
    }
  }
  const config = root['config'];
  for (const name of isMapping(config) ? Object.keys(config) : []) claim(name, 'in config', ['config', name], 'key');
  const secrets = Array.isArray(root['secrets']) ? (root['secrets'] as unknown[]) : [];
  for (const [index, name] of secrets.entries()) {
    if (typeof name === 'string') claim(name, 'in secrets', ['secrets', index], 'value');
  }
  // A database may share its variable with a secret: the secret is its URL where Slipway makes no copy.
  for (const [name, database] of things(root, 'databases')) {
    const path = ['databases', name, 'env'];
    if (typeof database['env'] === 'string' && database['env'] !== '')
      claim(database['env'], `the variable of the database "${name}"`, path, 'value', 'in secrets');
  }
  const shared = [...things(root, 'databases')].filter(
    ([, { env }]) => typeof env === 'string' && owners.get(env) === 'in secrets',
  );
  for (const [index, [name, { env }]] of shared.entries()) {
    const first = shared.findIndex(([, other]) => other['env'] === env);
    if (first < index)
      issues.push(
        value(
          ['databases', name, 'env'],
          `${quote(String(env))} is also the variable of the database "${shared[first]?.[0]}", expected one of its own`,
        ),
      );
  }
  return issues;
}

/** On Kubernetes a service is an image. Workers and jobs without one of their own share the image of the services. */
function images(root: Mapping): Issue[] {
  const place = [...things(root, 'environments')].find(([, { engine }]) => engine === 'kubernetes')?.[0];
  if (place === undefined) return [];
  const bare = [...things(root, 'services')].filter(([, service]) => (service['image'] ?? null) === null);
  return bare.map(([name]) => ({
    ...key(
      ['services', name],
      `has no image, but environments.${place} runs on kubernetes; expected image: with a name such as registry.example.com/shop/${name}`,
    ),
    lacks: [['services', name, 'image']],
  }));
}

const SOURCES = ['branch', 'from', 'pull-requests'] as const;

function environmentSources(root: Mapping): Issue[] {
  const environments = things(root, 'environments');
  const issues: Issue[] = [];
  const branches = new Map<string, string>();
  const edges = new Map<string, string[]>();
  let previews: string | null = null;
  for (const [name, environment] of environments) {
    const path = ['environments', name];
    const sources = SOURCES.filter((source) => environment[source] !== undefined && environment[source] !== false);
    // `staging:` with nothing after it is no mapping, and the schema has said so.
    if (sources.length === 0 && environment !== NOT_A_MAPPING)
      issues.push({
        ...key(path, 'has no source, expected one of branch: NAME, from: ENVIRONMENT, pull-requests: true'),
        lacks: SOURCES.map((source) => [...path, source]),
      });
    for (const source of sources.slice(1))
      issues.push(key([...path, source], `found both ${sources[0]} and ${source}, expected one source`));
    const branch = environment['branch'];
    if (typeof branch === 'string') {
      const owner = branches.get(branch);
      if (owner === undefined) branches.set(branch, name);
      else
        issues.push(
          value(
            [...path, 'branch'],
            `found ${quote(branch)}, which environments.${owner} has already, expected another branch; to release the same commits later use from: ${owner}`,
          ),
        );
    }
    if (environment['pull-requests'] === true) {
      if (previews !== null)
        issues.push(
          key(
            [...path, 'pull-requests'],
            `environments.${previews} has pull-requests already, expected one environment for them`,
          ),
        );
      previews ??= name;
    }
    const from = environment['from'];
    if (typeof from === 'string') {
      issues.push(...fromIssues(name, from, environments));
      if (from !== name && environments.has(from)) edges.set(name, [from]);
    }
  }
  for (const cycle of cycles(edges)) {
    issues.push(
      key(
        ['environments', cycle[0] ?? '', 'from'],
        `found a cycle, ${[...cycle, cycle[0]].join(' from ')}: no commit could ever get in; give one of them a branch`,
      ),
    );
  }
  return issues;
}

function fromIssues(name: string, from: string, environments: ReadonlyMap<string, Mapping>): Issue[] {
  const path = ['environments', name, 'from'];
  const others = [...environments.keys()].filter((other) => other !== name);
  if (from === name) return [value(path, `found "${name}" itself, expected another environment`)];
  if (environments.get(from)?.['pull-requests'] === true) {
    return [
      value(
        path,
        `found "${from}", which stands for many environments (one for each pull request), expected an environment with a branch`,
      ),
    ];
  }
  if (environments.has(from)) return [];
  const expected = others.length === 0 ? 'but there is no other environment' : `expected one of ${oneOf(others)}`;
  return [value(path, `found ${quote(from)}, ${expected}${suggestion(from, others)}`)];
}

function environmentDetails(root: Mapping): Issue[] {
  const issues: Issue[] = [];
  const hosts = new Map<string, string>();
  for (const [name, environment] of things(root, 'environments')) {
    const path = ['environments', name];
    const previews = environment['pull-requests'] !== undefined && environment['pull-requests'] !== false;
    if (previews && environment['host'] !== undefined)
      issues.push(
        key(
          [...path, 'host'],
          'found a host, but each pull request has an environment of its own, which would all have the same host; leave it out',
        ),
      );
    if (previews && environment['protected'] === true)
      issues.push(
        key(
          [...path, 'protected'],
          'found protected, but environments of pull requests are removed with them; leave it out',
        ),
      );
    if (!previews && environment['ttl'] !== undefined)
      issues.push(
        key(
          [...path, 'ttl'],
          'found ttl, which is only for an environment with pull-requests: this one is never removed by itself; leave it out',
        ),
      );
    const host = environment['host'];
    for (const [index, one] of (Array.isArray(host) ? (host as unknown[]) : [host]).entries()) {
      if (typeof one !== 'string') continue;
      const owner = hosts.get(one);
      if (owner === undefined) hosts.set(one, name);
      else
        issues.push(
          value(
            Array.isArray(host) ? [...path, 'host', index] : [...path, 'host'],
            `found ${quote(one)}, which environments.${owner} has already, expected a host of its own`,
          ),
        );
    }
    issues.push(...traffic(environment['traffic'], [...path, 'traffic']));
  }
  return issues;
}

function traffic(steps: unknown, path: Path): Issue[] {
  if (!Array.isArray(steps)) return [];
  const shares = (steps as unknown[]).map((step) => percentage(step));
  const issues: Issue[] = [];
  let highest = 0;
  for (const [index, share] of shares.entries()) {
    if (!('value' in share)) continue;
    if (share.value <= highest)
      issues.push(value([...path, index], `found ${share.value}% after ${highest}%, expected ascending shares`));
    highest = Math.max(highest, share.value);
  }
  const last = shares.at(-1);
  if (last === undefined)
    issues.push(value(path, 'found an empty list, expected shares that end in 100%, such as [5%, 25%, 100%]'));
  else if ('value' in last && last.value !== 100)
    issues.push(
      value(
        [...path, shares.length - 1],
        `found ${last.value}% at the end, expected 100%: a rollout ends with all traffic on the new release`,
      ),
    );
  return issues;
}
