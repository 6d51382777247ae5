import type { BackendPool } from './backend-pool.ts';
import type { RouteTable } from './routes.ts';

/** A request that waits for a backend. */
export interface Held {
  /** A new table has been set. */
  tableChanged(): void;
  /** The environment can't be woken, or is gone: the wait is over. */
  giveUp(sentence: string): void;
}

/**
 * Where a request goes.
 *
 * | choice | why |
 * | --- | --- |
 * | a pool   | this backend is ready |
 * | wake     | the environment sleeps |
 * | hold     | nothing is ready; a later table may have something |
 * | no-route | no release has a service at this path |
 */
export type Choice = BackendPool | 'wake' | 'hold' | 'no-route';

interface Release {
  weight: number;
  /** Smooth weighted round robin: grows by `weight` at each choice, the largest is chosen and set back by the sum. */
  credit: number;
  /** Longest prefix first. */
  public: { prefix: string; target: Target }[];
  byName: Map<string, Target>;
}

interface Target {
  pools: BackendPool[];
  /** Where the next search begins, so that equals take turns. */
  next: number;
}

/** What the router knows about one environment. Nothing here runs by itself: 200 idle ones cost their memory only. */
export class Environment {
  readonly name: string;
  table: RouteTable | null = null;
  inFlight = 0;
  lastRequestAt: number | null = null;
  /** Settles when the supervisor has answered; null: not waking. */
  waking: Promise<void> | null = null;
  readonly held = new Set<Held>();
  readonly pools = new Map<string, BackendPool>();
  #releases: Release[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** Takes a new table; `poolOf` gives each backend's pool. */
  setTable(table: RouteTable, poolOf: (id: string, port: number) => BackendPool): void {
    this.table = table;
    this.pools.clear();
    this.#releases = table.releases
      .filter((release) => release.weight > 0)
      .map((release) => {
        const byName = new Map<string, Target>();
        const open: Release['public'] = [];
        for (const service of release.services) {
          const target = { pools: service.backends.map((backend) => poolOf(backend.id, backend.port)), next: 0 };
          for (const pool of target.pools) this.pools.set(pool.id, pool);
          byName.set(service.name, target);
          if (service.route !== null) open.push({ prefix: service.route.replace(/\/+$/, ''), target });
        }
        open.sort((a, b) => b.prefix.length - a.prefix.length);
        return { weight: release.weight, credit: 0, public: open, byName };
      });
  }

  /** Chooses for one request. `service`: came by its internal port, the path does not matter. `tried`: backends that did not answer. */
  choose(target: string, service: string | null, tried: ReadonlySet<BackendPool> | null): Choice {
    if (this.table === null) return 'hold';
    if (this.table.answer === 'wake') return 'wake';
    let chosen: Release | null = null;
    let found: Target | null = null;
    let sum = 0;
    let exists = this.#releases.length === 0;
    for (const release of this.#releases) {
      const match = service === null ? byPath(release, target) : release.byName.get(service);
      if (match === undefined) continue;
      exists = true;
      if (!match.pools.some((pool) => tried?.has(pool) !== true)) continue;
      release.credit += release.weight;
      sum += release.weight;
      if (chosen === null || release.credit > chosen.credit) {
        chosen = release;
        found = match;
      }
    }
    if (chosen === null || found === null) return exists ? 'hold' : 'no-route';
    chosen.credit -= sum;
    return leastBusy(found, tried) ?? 'hold';
  }

  /** Tells everything that waits; a copy, because what is told leaves the set or waits anew. */
  tellHeld(tell: (held: Held) => void): void {
    const waiting = [...this.held];
    for (const held of waiting) tell(held);
  }
}

/** `/api` matches `/api`, `/api/x` and `/api?x`, not `/apix`. */
function byPath(release: Release, target: string): Target | undefined {
  for (const { prefix, target: match } of release.public) {
    if (!target.startsWith(prefix)) continue;
    const after = target.charCodeAt(prefix.length);
    // End, `/` or `?`. `*` of OPTIONS belongs to what has the root.
    if (prefix === '' || Number.isNaN(after) || after === 47 || after === 63) return match;
  }
  return undefined;
}

function leastBusy(target: Target, tried: ReadonlySet<BackendPool> | null): BackendPool | null {
  const { pools } = target;
  const begin = target.next;
  target.next = (begin + 1) % pools.length;
  let best: BackendPool | null = null;
  for (let i = 0; i < pools.length; i += 1) {
    const pool = pools[(begin + i) % pools.length];
    if (pool === undefined || tried?.has(pool) === true) continue;
    if (best === null || pool.inFlight < best.inFlight) best = pool;
  }
  return best;
}
