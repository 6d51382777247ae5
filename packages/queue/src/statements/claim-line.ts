import { claimedColumns, type Claimed, claimedFrom } from './claimed.ts';
import type { Lane } from './lane.ts';
import { type Database, type Names, numbersIn } from './names.ts';

/** From where in one line (the tasks of a kind and lane that have no key) to claim how many. */
export interface LineWanted {
  kind: string;
  lane: Lane;
  /** The first place to look at, and the last priority. */
  priority: number;
  position: number;
  upToPriority: number;
  limit: number;
  /** No bundle of the line that is still open has a smaller id. Default 0: not known. */
  oldestBundle?: number;
  /** Whether one on its last chance may be among them. Default `one`. */
  lastChance?: 'one' | 'none';
}

/** What claims of single tasks got. */
export interface LinesClaimed {
  tasks: Claimed[];
  /** Of each line and priority the first task on its last chance that was passed over. */
  passed: Pick<Claimed, 'kind' | 'lane' | 'priority' | 'position'>[];
}

/**
 * Leases ready tasks without a key to a worker, of each line the most urgent and oldest first. A worker that was given up gets nothing.
 *
 * The start of the look is what keeps this fast for long: what was claimed before it, and is still in the index because
 * somebody's old transaction might want to see it, is not read again.
 */
export async function claimFromLines(
  db: Database,
  names: Names,
  workerId: string,
  lines: readonly LineWanted[],
): Promise<LinesClaimed> {
  // In one order everywhere: two claims that lock the same lines never wait for each other.
  const wanted = lines.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const { rows } = await db.query(
    `select ${claimedColumns}, task.state
     from unnest($2::text[], $3::text[], $4::int[], $5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::text[])
       as line (kind, lane, priority, position, last, slots, bundle, chance)
     cross join lateral ${names.claimSingly}(
       $1, line.kind, line.lane, line.priority, line.position, line.last, line.slots, line.bundle, line.chance) as task`,
    [
      workerId,
      wanted.map(({ kind }) => kind),
      wanted.map(({ lane }) => lane),
      wanted.map(({ priority }) => priority),
      wanted.map(({ position }) => position),
      wanted.map(({ upToPriority }) => upToPriority),
      wanted.map(({ limit }) => limit),
      wanted.map(({ oldestBundle = 0 }) => oldestBundle),
      wanted.map(({ lastChance = 'one' }) => lastChance),
    ],
  );
  const passed = rows.filter(({ state }) => state === 'ready');
  return { tasks: claimedFrom(rows.filter(({ state }) => state !== 'ready')), passed: claimedFrom(passed) };
}

function nameOf({ kind, lane }: LineWanted): string {
  return `${kind} ${lane}`;
}

/** What a claim of a bundle got. */
export interface BundleClaimed {
  tasks: Claimed[];
  /** So many tasks behind them are to be claimed one by one; null: there is none. */
  apart: number | null;
  oldestBundle: number;
  /** Characters of all payloads. */
  characters: number;
}

/** Leases the next tasks of one line as a bundle: see `bundle.ts`. */
export async function claimBundle(
  db: Database,
  names: Names,
  workerId: string,
  wanted: LineWanted,
): Promise<BundleClaimed> {
  const { kind, lane, priority, position, upToPriority, limit, oldestBundle = 0 } = wanted;
  const { rows } = await db.query(`select * from ${names.claimBundle}($1, $2, $3, $4, $5, $6, $7, $8)`, [
    workerId,
    kind,
    lane,
    priority,
    position,
    upToPriority,
    limit,
    oldestBundle,
  ]);
  const row = rows[0] ?? {};
  const apart = typeof row['apart'] === 'number' ? row['apart'] : null;
  const { ids, payloads } = row;
  if (typeof ids !== 'string' || typeof payloads !== 'string') return { tasks: [], apart, oldestBundle, characters: 0 };
  const tasks = bundledFrom(row, ids, payloads, { kind, lane, worker: workerId });
  return { tasks, apart, oldestBundle: Number(row['oldest']), characters: payloads.length };
}

function bundledFrom(
  row: Record<string, unknown>,
  idArray: string,
  payloadArray: string,
  all: Pick<Claimed, 'kind' | 'lane' | 'worker'>,
): Claimed[] {
  const { kind, lane, worker } = all;
  const bundle = String(row['bundle_id']);
  const priority = Number(row['last_priority']);
  const position = Number(row['last_position']);
  const losses = Number(row['losses']);
  const longest = Number(row['longest_wait']);
  const ids = numbersIn(idArray);
  const less = (longest - Number(row['shortest_wait'])) / Math.max(1, ids.length - 1);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as the function in the migration writes it
  const payloads = JSON.parse(payloadArray) as unknown[];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same
  const { details } = row as { details: Details | null };
  return ids.map((id, at) => ({
    id,
    kind,
    lane,
    payload: payloads[at],
    key: null,
    lease: details === null ? '1' : String(details.leases[at]),
    worker,
    bundle,
    priority,
    position,
    attempts: 1,
    failures: 0,
    losses: 0,
    crashes: 0,
    ooms: 0,
    timeouts: 0,
    lossesAllowed: details?.losses[at] ?? losses,
    batchId: null,
    keepSeconds: 0,
    trace: details?.traces[at] ?? null,
    waitedSeconds: longest - less * at,
  }));
}

/** What tasks of a bundle have, where it is not the same for all. */
interface Details {
  leases: number[];
  losses: number[];
  traces: (string | null)[];
}
