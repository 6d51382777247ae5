import type { Lane } from './lane.ts';
import type { Database, Names } from './names.ts';

/** What one attempt used. */
export interface UsageRow {
  kind: string;
  taskId: string;
  lane: Lane;
  ended: 'done' | 'error' | 'oom' | 'timeout' | 'crash';
  peakBytes: number;
  cpuSeconds: number;
  wallSeconds: number;
  limits: { memoryBytes: number; cpu: number; timeoutSeconds: number } | null;
}

/** Of each kind as many are kept as a proposal of sizes can use. */
const KEPT = 10_000;

export async function addUsage(db: Database, names: Names, used: readonly UsageRow[]): Promise<void> {
  await db.query(
    `insert into ${names.usage}
       (kind, task_id, lane, ended, peak_bytes, cpu_seconds, wall_seconds, limit_bytes, limit_cpu, limit_seconds)
     select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::float8[], $7::float8[],
       $8::bigint[], $9::float8[], $10::float8[])`,
    [
      used.map(({ kind }) => kind),
      used.map(({ taskId }) => taskId),
      used.map(({ lane }) => lane),
      used.map(({ ended }) => ended),
      used.map(({ peakBytes }) => Math.round(peakBytes)),
      used.map(({ cpuSeconds }) => cpuSeconds),
      used.map(({ wallSeconds }) => wallSeconds),
      used.map(({ limits }) => (limits === null ? null : Math.round(limits.memoryBytes))),
      used.map(({ limits }) => limits?.cpu ?? null),
      used.map(({ limits }) => limits?.timeoutSeconds ?? null),
    ],
  );
}

/** Deletes all but the newest 10,000 of each kind. */
export async function pruneUsage(db: Database, names: Names, kept = KEPT): Promise<void> {
  // From kind to kind through the index; of each, what lies behind the place where the kept ones end.
  await db.query(
    `with recursive kinds as (
       (select kind from ${names.usage} order by kind limit 1)
       union all
       select next.kind from kinds cross join lateral (
         select kind from ${names.usage} as usage where usage.kind > kinds.kind order by kind limit 1
       ) as next
     )
     delete from ${names.usage} as usage using kinds cross join lateral (
       select id from ${names.usage} as newest where newest.kind = kinds.kind order by id desc offset $1 limit 1
     ) as oldest
     where usage.kind = kinds.kind and usage.id <= oldest.id`,
    [kept],
  );
}
