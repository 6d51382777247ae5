import { stateOf } from './bundle.ts';
import { type Database, type Names } from './names.ts';

export interface KindCounts {
  scheduled: number;
  /** Waiting for the last of their batch. */
  blocked: number;
  ready: number;
  running: number;
  dead: number;
}

/** How many tasks of each kind there are in each state, counted one by one; kinds without any are not named. */
export async function countTasks(db: Database, names: Names): Promise<Record<string, KindCounts>> {
  const { rows } = await db.query(
    `select kind, ${stateOf(names)} as state, count(*)::int as number
     from ${names.task} group by 1, 2
     union all select kind, 'dead', count(*)::int from ${names.dead} group by kind`,
  );
  const counts: Record<string, KindCounts> = {};
  for (const row of rows) {
    const kind = (counts[String(row['kind'])] ??= { scheduled: 0, blocked: 0, ready: 0, running: 0, dead: 0 });
    const state = row['state'];
    if (state === 'scheduled' || state === 'blocked' || state === 'ready' || state === 'running' || state === 'dead')
      kind[state] = Number(row['number']);
  }
  return counts;
}
