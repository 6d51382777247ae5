import type { ApiApp, ApiEnvironment } from '../api/client.ts';

/** One app of the page: its long-lived environments in the order in which releases are promoted, then its previews, newest first. */
export interface AppRow {
  app: string;
  cloneUrl: string | null;
  lasting: ApiEnvironment[];
  previews: ApiEnvironment[];
}

/** Rows by app name. Apps that have no environment yet are known from the list of apps only. */
export function rowsOf(environments: Iterable<ApiEnvironment>, apps: readonly ApiApp[]): AppRow[] {
  const rows = new Map<string, AppRow>();
  const row = (app: string) => {
    const known = rows.get(app) ?? { app, cloneUrl: null, lasting: [], previews: [] };
    rows.set(app, known);
    return known;
  };
  for (const { app, cloneUrl } of apps) row(app).cloneUrl = cloneUrl;
  for (const environment of environments) {
    const { lasting, previews } = row(environment.app);
    (environment.kind === 'pull-request' ? previews : lasting).push(environment);
  }
  for (const { lasting, previews } of rows.values()) {
    const depth = promotionDepth(lasting);
    lasting.sort((a, b) => depth(a.environment) - depth(b.environment) || a.environment.localeCompare(b.environment));
    previews.sort((a, b) => (b.pullRequest ?? 0) - (a.pullRequest ?? 0) || a.environment.localeCompare(b.environment));
  }
  return [...rows.values()].sort((a, b) => a.app.localeCompare(b.app));
}

/** The long-lived environments of all apps as columns, so that production is below production. */
export function columnsOf(rows: readonly AppRow[]): string[] {
  const rank = new Map<string, number>();
  for (const { lasting } of rows) {
    lasting.forEach(({ environment }, index) => rank.set(environment, Math.max(index, rank.get(environment) ?? 0)));
  }
  return [...rank].sort(([a, rankA], [b, rankB]) => rankA - rankB || a.localeCompare(b)).map(([name]) => name);
}

/** How many promotions lie before an environment; a circle counts as its first time round. */
function promotionDepth(environments: readonly ApiEnvironment[]): (name: string) => number {
  const sources = new Map(environments.map(({ environment, from }) => [environment, from]));
  return (name) => {
    const seen = new Set<string>();
    let source = sources.get(name) ?? null;
    while (source !== null && !seen.has(source)) {
      seen.add(source);
      source = sources.get(source) ?? null;
    }
    return seen.size;
  };
}
