import { SlipwayError } from '@slipway/app';
import type { Plan, PlannedRelease } from '@slipway/engine';
import type { Attempt } from '@slipway/queue';
import type { Context } from '../context.ts';
import { environmentColumns, environmentTable, type EnvironmentRow, type RolloutRow } from '../database/records.ts';
import { theRow } from '../database/sql.ts';
import { freezeRelease } from '../releases/freeze.ts';
import { sayThatItWaits } from './approval.ts';
import { mayRelease } from './eligibility.ts';
import { runBeforeDeployJobs } from './jobs.ts';
import { judgeStart, servesAlone } from './judge.ts';
import { applyPlan, findRelease, type ReleaseWithArtifact } from './plan.ts';
import { beginRunning, endRollout, loadRollout, moveTo, RolloutEnded, succeed, watchForEnd } from './transitions.ts';

/**
 * Moves one environment from one release to another.
 *
 * | phase | state | what happens | what ends it | next |
 * | --- | --- | --- | --- | --- |
 * | checks   | waiting | waits until the commit is built and its checks passed | the last check | approval |
 * | approval | waiting | waits for a person, where the environment wants one | `slipway approve` | release |
 * | release  | running | ends older rollouts; freezes commit, artifact and config as a release | at once | jobs |
 * | jobs     | running | before-deploy jobs, one after the other | each exits 0 | start |
 * | start    | running | the new release runs beside the old one, without requests | every instance is ready | shift |
 * | shift    | running | new requests go to the new release; the engine drains and stops the old one | the engine says so | done |
 *
 * End states: `succeeded`; `failed` (the old release keeps serving, `reason` says why); `superseded` (something newer goes
 * there); `cancelled` (a person, or the environment is being removed). A rollback begins at `start`: its release is frozen already.
 * After any but the first, the plan is taken back to what serves.
 *
 * The phase is a column, and each step may run again: a control plane that was killed goes on where it was. A task that has to wait for
 * a check or a person returns; whoever makes it possible enqueues it again.
 */
export async function advanceRollout(
  context: Context,
  { rolloutId }: { rolloutId: string },
  attempt: Attempt,
): Promise<void> {
  const ended = watchForEnd(context, rolloutId);
  const signal = AbortSignal.any([attempt.signal, ended.signal]);
  let rollout = await loadRollout(context, rolloutId);
  try {
    if (rollout.state !== 'waiting' && rollout.state !== 'running') {
      // Whoever recorded its end may have been killed before it took back what was started.
      if (rollout.state !== 'succeeded') await restore(context, rollout);
      return;
    }
    // Asked again after an approval: something newer may run since it began to wait.
    if (rollout.phase === 'checks' || rollout.phase === 'approval') {
      if (!(await mayRelease(context, rollout))) return;
      if (rollout.approval === 'required') {
        if (rollout.phase === 'checks') rollout = await moveTo(context, rollout, 'approval', 'waits for approval');
        await sayThatItWaits(context, rollout);
        return;
      }
      rollout = await moveTo(context, rollout, 'release', 'freezes the release');
    }
    rollout = await beginRunning(context, rollout);
    if (rollout.phase === 'release') {
      const release = await freezeRelease(context, rollout, signal);
      rollout = await moveTo(context, rollout, 'jobs', `runs the jobs before release ${release.number}`);
    }
    const target = await targetRelease(context, rollout);
    if (rollout.phase === 'jobs') {
      const environment = await loadEnvironment(context, rollout.environmentId);
      await runBeforeDeployJobs(context, rollout, environment, target, {
        stopping: attempt.signal,
        ended: ended.signal,
      });
      rollout = await moveTo(context, rollout, 'start', `starts release ${target.release.number}`);
    }
    if (rollout.phase === 'start') {
      await start(context, rollout, target, signal);
      rollout = await moveTo(context, rollout, 'shift', `moves the traffic to release ${target.release.number}`);
    }
    if (rollout.phase === 'shift') await shift(context, rollout, target, signal);
    await succeed(context, rollout, target.release);
  } catch (error) {
    const reason = whyItFailed(error);
    if (reason !== null) await endRollout(context, rollout, 'failed', reason);
    // Ended by this line, or by somebody else while it waited: what it started is taken back.
    if (reason !== null || error instanceof RolloutEnded || ended.signal.aborted) await restore(context, rollout);
    else throw error;
  } finally {
    ended.stop();
  }
}

/** A sentence when the error means that this rollout can't work; null when trying again may help, or when it is a bug. */
function whyItFailed(error: unknown): string | null {
  if (error instanceof SlipwayError && error.kind !== 'transient')
    return [error.message, error.hint].filter(Boolean).join(' ');
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return 'the engine did not say in time whether the release came up. See that it answers (the agent runs, the cluster is up), then deploy again';
  return null;
}

/** Ends a rollout that can't go on, because of `reason`; the old release keeps serving. */
export async function failRollout(context: Context, rolloutId: string, reason: string): Promise<void> {
  const rollout = await loadRollout(context, rolloutId);
  if (rollout.state !== 'waiting' && rollout.state !== 'running') return;
  await endRollout(context, rollout, 'failed', reason);
  await restore(context, rollout);
}

async function start(
  context: Context,
  rollout: RolloutRow,
  target: ReleaseWithArtifact,
  signal: AbortSignal,
): Promise<void> {
  const environment = await loadEnvironment(context, rollout.environmentId);
  const serving = await servingRelease(context, environment);
  const plan = await applyPlan(context, environment, serving, target);
  const planned = inPlan(plan, target);
  const judgement = await context.engines
    .of(environment)
    .fleet.until(
      plan.environment,
      (status) => judgeStart(status, planned, plan.generation),
      AbortSignal.any([signal, AbortSignal.timeout(patience(planned))]),
    );
  if (judgement.state === 'ready') return;
  await endRollout(context, rollout, 'failed', judgement.reason, { lastLines: judgement.failure.lastLines });
  throw new RolloutEnded();
}

async function shift(
  context: Context,
  rollout: RolloutRow,
  target: ReleaseWithArtifact,
  signal: AbortSignal,
): Promise<void> {
  const environment = await loadEnvironment(context, rollout.environmentId);
  const plan = await applyPlan(context, environment, target, null);
  const planned = inPlan(plan, target);
  await context.engines
    .of(environment)
    .fleet.until(
      plan.environment,
      (status) =>
        status &&
        status.generation >= plan.generation &&
        (servesAlone(status, planned.number) || planned.services.length === 0)
          ? true
          : undefined,
      AbortSignal.any([signal, AbortSignal.timeout(patience(planned))]),
    );
}

function inPlan(plan: Plan, { release }: ReleaseWithArtifact): PlannedRelease {
  const planned = plan.releases.find(({ number }) => number === release.number);
  if (!planned) throw new Error(`release ${release.number} is not in the plan that brings it`);
  return planned;
}

/** After a rollout that did not succeed: only what serves is wanted. Where nothing of it is in the plan, there is nothing to do. */
async function restore(context: Context, rollout: RolloutRow): Promise<void> {
  if (rollout.release === null) return;
  const environment = await loadEnvironment(context, rollout.environmentId);
  if (environment.removal === 'removing' || environment.removal === 'removed') return;
  if (rollout.release === environment.currentRelease) return;
  const left = environment.plan?.releases.some(({ number }) => number === rollout.release);
  if (left === true) await applyPlan(context, environment, await servingRelease(context, environment), null);
}

async function servingRelease(context: Context, environment: EnvironmentRow): Promise<ReleaseWithArtifact | null> {
  return environment.currentRelease === null
    ? null
    : await findRelease(context, environment.appId, environment.currentRelease);
}

async function targetRelease(context: Context, rollout: RolloutRow): Promise<ReleaseWithArtifact> {
  const target = rollout.release === null ? null : await findRelease(context, rollout.appId, rollout.release);
  if (target?.artifact !== 'kept')
    throw new SlipwayError('conflict', `the artifact of release ${rollout.release} has been deleted to save space.`, {
      hint: `Push what it was as a new commit: git checkout ${rollout.sha.slice(0, 8)} -- . && git commit -m "Back" && git push`,
    });
  return target;
}

async function loadEnvironment(context: Context, id: string): Promise<EnvironmentRow> {
  return await theRow(context.pool, `select ${environmentColumns} from ${environmentTable} where environment.id = $1`, [
    id,
  ]);
}

/**
 * Milliseconds after which a rollout stops waiting for the engine: the engine itself reports a slow start long before. This is only for an
 * engine that does not answer at all, so that nothing waits for ever.
 */
function patience(release: { services: readonly { startSeconds: number }[] }): number {
  const starts = release.services.reduce((sum, { startSeconds }) => sum + startSeconds, 0);
  return (2 * starts + 300) * 1000;
}
