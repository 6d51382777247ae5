import { availableParallelism, totalmem } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { SlipwayError, type Worker } from '@slipway/app';
import { readLanes, readSignals, setSizes } from '@slipway/queue/scaling';
import {
  decideSizes,
  proposeSizes,
  readSamples,
  type AttemptSample,
  type LaneSizes,
  type NotYet,
  type SizeProposal,
} from '@slipway/queue/sizing';
import type { Context } from '../context.ts';
import { row, transaction } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { planAgain } from '../rollouts/plan.ts';
import { ceilingOf, type SizeCeiling } from './ceiling.ts';
import { declaredSize, sizeOf } from './planned-workers.ts';
import { tasksSchema } from './queue-name.ts';
import type { ScaleTarget } from './scale-target.ts';

/** The worker's declaration is there. */
export interface SizeTarget extends ScaleTarget {
  declared: Worker;
}

/** So many more attempts have to end until the measurements are looked at again. */
const lookAfter = 50;

interface SizeRow {
  sample: string | null;
  looked: number;
  declared: LaneSizes;
}

/** With `sizes: auto`: after enough new measurements the lanes get the sizes they ask for. */
export async function followMeasurements(context: Context, target: SizeTarget): Promise<void> {
  const known = await readRow(context, target);
  const { lanes } = await readSignals(context.pool, tasksSchema, target.queue);
  const ended = lanes.normal.tally.started + lanes.fallback.tally.started;
  if (ended < (known?.looked ?? 0) + lookAfter) return;
  const measured = await measure(context, target, known?.sample ?? null);
  const { present, proposal, samples, fresh, ceiling } = measured;
  const decision = decideSizes(present, proposal, samples, fresh, { ceiling });
  if (decision.change === 'apply' && !isDeepStrictEqual(decision.sizes, present)) {
    await apply(context, target, { ...measured, sizes: decision.sizes, reason: decision.reason, actor: 'slipway' });
    return;
  }
  await context.pool.query(
    `insert into worker_size (environment_id, worker, looked, declared) values ($1, $2, $3, $4)
     on conflict (environment_id, worker) do update set looked = excluded.looked`,
    [target.environment.id, target.worker, ended, declaredSizes(target.declared)],
  );
}

/**
 * Sizes that slipway.yaml declares anew count more than what was decided before, and than what was measured before: with `sizes: auto`
 * they stay until enough new attempts were measured.
 */
export async function dropOutdated(context: Context, target: SizeTarget): Promise<void> {
  const { environment, worker, queue } = target;
  const known = await readRow(context, target);
  const declared = declaredSizes(target.declared);
  if (!known || isDeepStrictEqual(known.declared, declared)) return;
  const { newest } = await readSamples(context.pool, tasksSchema, queue, { after: null, limit: 1 });
  await transaction(context.pool, async (client) => {
    await setSizes(client, tasksSchema, queue, null);
    await client.query(
      `update worker_size set sample = $3, declared = $4, changed_at = now() where environment_id = $1 and worker = $2`,
      [environment.id, worker, newest, declared],
    );
    await appendEvent(client, {
      kind: 'worker.resized',
      appId: environment.appId,
      environmentId: environment.id,
      message: `${environment.name}: ${worker} has the sizes that slipway.yaml declares now.`,
      data: { worker, sizes: declared },
    });
  });
}

export interface Proposed {
  proposal: NotYet | SizeProposal;
  present: LaneSizes;
  /** Why the proposal can't be put in force as it is, for people; null: it can. */
  obstacle: string | null;
}

/** What the measurements of a worker's attempts propose. */
export async function proposeFor(context: Context, target: SizeTarget): Promise<Proposed> {
  return await measure(context, target, null);
}

/**
 * Puts the proposed sizes in force: the runners start again with them, after the tasks they have.
 *
 * @throws {SlipwayError} `conflict` when there is no proposal yet, or it sends tasks to a fallback lane that the worker does not have.
 */
export async function applyProposal(context: Context, target: SizeTarget, actor: string): Promise<Proposed> {
  const measured = await measure(context, target, null);
  const { proposal } = measured;
  if (proposal.verdict === 'not yet')
    throw new SlipwayError('conflict', `There is no proposal for ${target.queue} yet. ${proposal.reason}`, {
      hint: `Nothing was changed. slipway queue size ${target.queue} tells when there is one.`,
    });
  if (measured.obstacle !== null)
    throw new SlipwayError('conflict', measured.obstacle, {
      hint: `Nothing was changed. Declare fallback: {} for ${target.worker} in slipway.yaml, deploy that, and ask again.`,
    });
  const reason = proposal.reading.at(-1) ?? '';
  await apply(context, target, { ...measured, sizes: proposal.sizes, reason, actor });
  return { proposal, present: proposal.sizes, obstacle: null };
}

interface Measured extends Proposed {
  samples: AttemptSample[];
  fresh: number;
  newest: string | null;
  ceiling: SizeCeiling;
}

async function measure(context: Context, target: SizeTarget, after: string | null): Promise<Measured> {
  const { declared, queue } = target;
  const allowed = ceilingOf(target.environment);
  const decided = await readLanes(context.pool, tasksSchema, [queue]);
  const sources = { decided, queue, ceiling: allowed };
  const present = { normal: sizeOf(declared, 'normal', sources), fallback: sizeOf(declared, 'fallback', sources) };
  const read = await readSamples(context.pool, tasksSchema, queue, { after });
  const ceiling = {
    cpu: Math.min(availableParallelism(), allowed.cpu),
    memoryBytes: Math.min(totalmem(), allowed.memoryBytes),
  };
  const proposal = proposeSizes(read.samples, { present, ceiling });
  return { ...read, present, ceiling, proposal, obstacle: obstacleOf(target, proposal) };
}

function obstacleOf({ worker, declared }: SizeTarget, proposal: NotYet | SizeProposal): string | null {
  if (declared.fallback !== null || proposal.verdict !== 'split') return null;
  const share = Number((proposal.fallbackShare * 100).toFixed(1));
  return `${worker} has no fallback lane, and with these sizes ${share} % of its tasks need one: they would die.`;
}

async function apply(
  context: Context,
  { environment, worker, queue, declared }: SizeTarget,
  change: { sizes: LaneSizes; reason: string; actor: string; newest: string | null },
): Promise<void> {
  const { sizes, reason, actor, newest } = change;
  await transaction(context.pool, async (client) => {
    await setSizes(client, tasksSchema, queue, { normal: sizes.normal, fallback: sizes.fallback });
    await client.query(
      `insert into worker_size (environment_id, worker, sample, declared) values ($1, $2, $3, $4)
       on conflict (environment_id, worker) do update
       set sample = excluded.sample, declared = excluded.declared, changed_at = now()`,
      [environment.id, worker, newest, declaredSizes(declared)],
    );
    await appendEvent(client, {
      kind: 'worker.resized',
      appId: environment.appId,
      environmentId: environment.id,
      actor,
      message: `${environment.name}: ${worker} gets ${describe(sizes.normal)}, in the fallback lane ${describe(sizes.fallback)}. ${reason}`,
      data: { worker, sizes },
    });
  });
  await planAgain(context, environment.id);
}

async function readRow(context: Context, { environment, worker }: SizeTarget): Promise<SizeRow | null> {
  return await row<SizeRow>(
    context.pool,
    `select sample, looked::float8 as looked, declared from worker_size where environment_id = $1 and worker = $2`,
    [environment.id, worker],
  );
}

function declaredSizes({ normal, fallback }: Worker): LaneSizes {
  return { normal: declaredSize(normal), fallback: declaredSize(fallback ?? normal) };
}

function describe({ cpu, memoryBytes, timeoutSeconds }: LaneSizes['normal']): string {
  return `${cpu} CPU, ${Math.round(memoryBytes / 2 ** 20)} MiB, ${timeoutSeconds} s`;
}
