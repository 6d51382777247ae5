import type { Lane } from './lane.ts';

/** A task that was leased to this worker. */
export interface Claimed {
  id: string;
  kind: string;
  lane: Lane;
  payload: unknown;
  key: string | null;
  lease: string;
  /** Whose row it was leased to: nobody else can have it while that row is there and not gone. */
  worker: string;
  /** The bundle that it was leased with; null: it was leased by itself. */
  bundle: string | null;
  /** Its place in line; of one that was leased with a bundle, the last place of that. */
  priority: number;
  position: number;
  /** How often it was begun, this time included, and how often an attempt ended for which cause. */
  attempts: number;
  failures: number;
  losses: number;
  crashes: number;
  ooms: number;
  timeouts: number;
  lossesAllowed: number;
  batchId: string | null;
  /** For how long its result is to be kept. */
  keepSeconds: number;
  trace: string | null;
  /**
   * Seconds it was ready before it was claimed (of the last wait, as far as is known). Of one that was leased with a bundle: by its place between
   * the longest and the shortest wait of those.
   */
  waitedSeconds: number;
}

export const claimedColumns = `task.id, task.kind, task.lane, task.payload, task.key, task.lease, task.worker_id, task.priority, task.position, task.attempts,
  task.failures, task.losses, task.crashes, task.ooms, task.timeouts, task.losses_allowed, task.batch_id, task.keep_seconds, task.trace,
  greatest(0, extract(epoch from clock_timestamp() - task.run_at))::float8 as waited`;

/** Most urgent and oldest first. */
export function claimedFrom(rows: readonly Record<string, unknown>[]): Claimed[] {
  return rows
    .map((row) => ({
      id: String(row['id']),
      kind: String(row['kind']),
      lane: row['lane'] === 'fallback' ? ('fallback' as const) : ('normal' as const),
      payload: row['payload'],
      key: textOrNull(row['key']),
      lease: String(row['lease']),
      worker: String(row['worker_id']),
      bundle: null,
      priority: Number(row['priority']),
      position: Number(row['position']),
      attempts: Number(row['attempts']),
      failures: Number(row['failures']),
      losses: Number(row['losses']),
      crashes: Number(row['crashes']),
      ooms: Number(row['ooms']),
      timeouts: Number(row['timeouts']),
      lossesAllowed: Number(row['losses_allowed']),
      batchId: textOrNull(row['batch_id']),
      keepSeconds: Number(row['keep_seconds']),
      trace: textOrNull(row['trace']),
      waitedSeconds: Number(row['waited']),
    }))
    .sort((a, b) => a.priority - b.priority || a.position - b.position);
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
