import type { Worker } from '@slipway/app';
import { readLanes, readSignals, type LaneLoad, type QueueLoad } from '@slipway/queue/scaling';
import type { ApiQueue } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import { environmentTable } from '../database/records.ts';
import { rows } from '../database/sql.ts';
import type { LaneMemory } from './lane-decision.ts';
import { lanesOf, sizeOf, type SizeSources } from './planned-workers.ts';
import type { EnvironmentQueues } from './queue-kinds.ts';
import { queueName, tasksSchema } from './queue-name.ts';

/** What people and programs are shown of queues. */
export async function viewQueues(
  context: Context,
  filter: { app?: string | undefined; environment?: string | undefined },
): Promise<ApiQueue[]> {
  const environments = await rows<{ app: string; name: string }>(
    context.pool,
    `select app.name as app, environment.name from ${environmentTable}
     where environment.removal in ('none', 'waiting') and ($1::text is null or app.name = $1) and ($2::text is null or environment.name = $2)
     order by app.name, environment.kind = 'pull-request', environment.id`,
    [filter.app ?? null, filter.environment ?? null],
  );
  const views: ApiQueue[] = [];
  for (const { app, name } of environments) {
    const queues = await context.kinds.of(app, name);
    for (const worker of queues?.workers.keys() ?? []) {
      const view = queues ? await viewQueue(context, queues, worker) : null;
      if (view) views.push(view);
    }
  }
  return views;
}

/** One queue; null: the environment has no such worker. */
export async function viewQueue(context: Context, queues: EnvironmentQueues, worker: string): Promise<ApiQueue | null> {
  const declared = queues.workers.get(worker);
  if (!declared) return null;
  const queue = queueName(queues, worker);
  const [load, decided, memories] = await Promise.all([
    readSignals(context.pool, tasksSchema, queue),
    readLanes(context.pool, tasksSchema, [queue]),
    rows<LaneMemory & { decidedAt: Date }>(
      context.pool,
      `select lane, memory, slots, work, reason, decided_at as "decidedAt" from worker_lane where environment_id = $1 and worker = $2`,
      [queues.id, worker],
    ),
  ]);
  const lanes = lanesOf(declared).map((lane) =>
    viewLane(declared, load.lanes[lane], {
      decided,
      queue,
      ceiling: queues.ceiling,
      memory: memories.find((one) => one.lane === lane) ?? null,
    }),
  );
  const oldest = lanes.flatMap(({ lane }) => load.lanes[lane].oldestSeconds ?? []);
  return {
    name: worker,
    environment: `${queues.app}/${queues.name}`,
    lanes,
    ratePerMinute: ratesOf(load, memories),
    oldestSeconds: oldest.length === 0 ? null : Math.max(...oldest),
    dead: load.dead,
    approximate: lanes.some(({ lane }) => load.lanes[lane].counted === 'most'),
  };
}

function viewLane(
  declared: Worker,
  load: LaneLoad,
  { memory, ...sources }: SizeSources & { memory: LaneMemory | null },
): ApiQueue['lanes'][number] {
  const { lane, ready, scheduled, running, tally } = load;
  const { done, errors, ooms, timeouts, crashes, lost, interrupted, escalated, dead } = tally;
  return {
    lane,
    ready,
    scheduled,
    running,
    slots: sources.decided.find((one) => one.lane === lane)?.slots ?? 0,
    maxSlots: declared.replicas.max,
    reason: memory?.reason ?? '0: nothing has come yet',
    size: sizeOf(declared, lane, sources),
    counts: { done, errors, ooms, timeouts, crashes, lost, interrupted, escalated, dead },
  };
}

/** The averages over a minute that the scaler keeps; they stand still while it does not decide, and count less as time goes by. */
function ratesOf(load: QueueLoad, memories: readonly (LaneMemory & { decidedAt: Date })[]): ApiQueue['ratePerMinute'] {
  const perSecond = memories.reduce((sum, { memory }) => {
    const minute = memory.state.types['tasks']?.minute.perSecond ?? 0;
    const ago = Math.max(0, load.at - (memory.state.at ?? load.at));
    return sum + minute * Math.exp(-ago / 60);
  }, 0);
  const done = memories.reduce((sum, { memory }) => {
    const ago = Math.max(0, load.at - (memory.state.at ?? load.at));
    return sum + memory.seen.donePerSecond * Math.exp(-ago / 60);
  }, 0);
  return { arrived: round(perSecond * 60), done: round(done * 60) };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
