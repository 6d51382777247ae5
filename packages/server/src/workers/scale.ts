import type { PoolClient } from 'pg';
import { forgetQueue, readSignals, setSlots } from '@slipway/queue/scaling';
import type { Context } from '../context.ts';
import type { EnvironmentRow } from '../database/records.ts';
import { rows, transaction } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { planAgain } from '../rollouts/plan.ts';
import { enqueueScaling } from '../tasks.ts';
import { decideLane, type LaneDecision, type LaneMemory } from './lane-decision.ts';
import { queueName, tasksSchema } from './queue-name.ts';
import { findTarget, type ScaleTarget } from './scale-target.ts';
import { dropOutdated, followMeasurements } from './sizes.ts';

/**
 * Decides how many slots each lane of a worker has, from what waits and runs and what the release that serves asks for. The slots are rows
 * that the runners learn; the engine is told a new plan only when a lane gets its first slot or loses its last.
 *
 * Level-triggered: it reads what is, and may run at any time and any number of times. It enqueues itself for the moment it has to look
 * again; with nothing to do that is never, and the next task wakes it.
 */
export async function scaleWorker(
  context: Context,
  { environmentId, worker }: { environmentId: string; worker: string },
): Promise<void> {
  const target = await findTarget(context, environmentId, worker);
  if (target === null) return;
  const load = await readSignals(context.pool, tasksSchema, target.queue);
  const fewer = await transaction(context.pool, async (client) => {
    const memories = await rows<LaneMemory>(
      client,
      `select lane, memory, slots, work, reason from worker_lane where environment_id = $1 and worker = $2 for update`,
      [environmentId, worker],
    );
    const decisions = (['normal', 'fallback'] as const).map((lane) =>
      decideLane({
        lane,
        declared: target.declared,
        sleeps: target.environment.policy.sleep === null ? 'never' : 'may',
        load,
        memory: memories.find((one) => one.lane === lane) ?? null,
      }),
    );
    for (const decision of decisions) await write(client, target, decision, memories);
    const next = decisions.flatMap(({ nextAt }) => (nextAt === null ? [] : [nextAt]));
    if (next.length > 0) await enqueueScaling(context.queue, client, environmentId, [worker], Math.min(...next));
    return decisions.some(({ lane, slots }) => slots > 0 && slots < (slotsOf(memories, lane) ?? 0));
  });
  const { declared } = target;
  if (declared) await dropOutdated(context, { ...target, declared });
  if (fewer) await spareBusy(context, target.environment);
  // Compares what is planned with what was decided, so a death right before this line changes nothing.
  await planAgain(context, environmentId);
  if (declared?.sizes === 'auto') await followMeasurements(context, { ...target, declared });
}

async function write(
  client: PoolClient,
  { environment, worker, queue }: ScaleTarget,
  decision: LaneDecision,
  memories: readonly LaneMemory[],
): Promise<void> {
  const { lane, slots, work, reason } = decision;
  const before = slotsOf(memories, lane) ?? 0;
  await client.query(
    `insert into worker_lane (environment_id, worker, lane, memory, slots, work, reason) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (environment_id, worker, lane) do update
     set memory = excluded.memory, slots = excluded.slots, work = excluded.work, reason = excluded.reason, decided_at = now()`,
    [environment.id, worker, lane, decision.memory, slots, work, reason],
  );
  await setSlots(client, tasksSchema, { kind: queue, lane, slots });
  if (slots > 0 === before > 0) return;
  const inLane = lane === 'normal' ? '' : ' in the fallback lane';
  await appendEvent(client, {
    kind: slots > 0 ? 'worker.started' : 'worker.stopped',
    appId: environment.appId,
    environmentId: environment.id,
    message:
      slots > 0
        ? `${environment.name}: ${worker} begins to work${inLane}, ${slots} ${slots === 1 ? 'task' : 'tasks'} at once: ${told(reason)}.`
        : `${environment.name}: ${worker} stops${inLane}: ${told(reason)}. The next task starts it again.`,
    data: { worker, lane, slots },
  });
}

function slotsOf(memories: readonly LaneMemory[], lane: LaneMemory['lane']): number | undefined {
  return memories.find((one) => one.lane === lane)?.slots;
}

/** Where slots are processes of the engine, it is told which of them work before it stops some. */
async function spareBusy({ engines, tasks }: Context, environment: ScaleTarget['environment']): Promise<void> {
  const { engine } = engines.of(environment);
  const name = `${environment.app}/${environment.name}`;
  await engine.spare?.(name, await tasks.broker().busy(`${name}/`));
}

/** The reason of a decision without the number before it, which the sentence has. */
function told(reason: string): string {
  return reason.replace(/^\d+: /, '');
}

/** Enqueues the look at every worker of every environment: what was told while nobody listened is found by it. */
export async function scaleEverything(context: Pick<Context, 'pool' | 'queue'>): Promise<void> {
  const found = await rows<{ id: string; workers: string[] }>(
    context.pool,
    `select environment.id, array(
       select jsonb_object_keys(release.definition -> 'workers')
       union select worker from worker_lane where environment_id = environment.id) as workers
     from environment join release on release.app_id = environment.app_id and release.number = environment.current_release
     where environment.removal in ('none', 'waiting')`,
  );
  for (const { id, workers } of found) await enqueueScaling(context.queue, null, id, workers);
}

/** An environment is gone: nothing of its queues is kept. */
export async function forgetWorkers(
  client: PoolClient,
  environment: Pick<EnvironmentRow, 'id' | 'app' | 'name'>,
): Promise<void> {
  const found = await rows<{ worker: string }>(
    client,
    `select worker from worker_lane where environment_id = $1
     union select jsonb_object_keys(definition -> 'workers') from release where environment_id = $1`,
    [environment.id],
  );
  for (const { worker } of found) await forgetQueue(client, tasksSchema, queueName(environment, worker));
  await client.query(`delete from worker_lane where environment_id = $1`, [environment.id]);
  await client.query(`delete from worker_size where environment_id = $1`, [environment.id]);
}
