import { type Database, namesIn } from '../statements/names.ts';
import type { AttemptSample } from './measure-tasks.ts';

export interface Samples {
  /** Oldest first. */
  samples: AttemptSample[];
  /** How many of them came after `after`. */
  fresh: number;
  /** Id of the newest; null: there is none. */
  newest: string | null;
}

/**
 * The newest measured attempts of a kind. Those without limits of their own say nothing about sizes and are left out.
 *
 * @param after id of the newest sample that was there at the last change.
 */
export async function readSamples(
  db: Database,
  schema: string,
  kind: string,
  { after, limit = 5_000 }: { after: string | null; limit?: number },
): Promise<Samples> {
  const { rows } = await db.query(
    `select id::text, task_id::text as "taskId", kind as type, lane, ended as "end", peak_bytes::float8 as "peakBytes",
       cpu_seconds as "cpuSeconds", wall_seconds as "wallSeconds",
       json_build_object('cpu', limit_cpu, 'memoryBytes', limit_bytes, 'timeoutSeconds', limit_seconds) as limits
     from (select * from ${namesIn(schema).usage}
       where kind = $1 and limit_bytes is not null and limit_cpu is not null and limit_seconds is not null
       order by id desc limit $2) as newest
     order by newest.id`,
    [kind, limit],
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the columns are named above
  const found = rows as unknown as (AttemptSample & { id: string })[];
  return {
    samples: found,
    fresh: found.filter(({ id }) => after === null || BigInt(id) > BigInt(after)).length,
    newest: found.at(-1)?.id ?? null,
  };
}
