import type { Check } from '@slipway/app';
import { runCommandCheck } from '@slipway/checks';
import type { Attempt } from '@slipway/queue';
import type { Context } from '../context.ts';
import { checkRunColumns, type CheckRunRow } from '../database/records.ts';
import { row, transaction } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { commitSettled } from './settle.ts';

/** Runs one check of one commit and records how it ended. */
export async function runCheck(
  context: Context,
  { checkRunId }: { checkRunId: string },
  attempt: Attempt,
): Promise<void> {
  const { pool } = context;
  const checkRun = await row<
    CheckRunRow & { app: string; check: Check | null; folder: string | null; started: 'now' | 'before' }
  >(
    pool,
    `with before as (select id, started_at from check_run where id = $1)
     update check_run set state = 'running', started_at = coalesce(check_run.started_at, now())
     from before, app, commit left join artifact on artifact.app_id = commit.app_id and artifact.id = commit.artifact
     where check_run.id = before.id and check_run.state in ('queued', 'running') and app.id = check_run.app_id
       and commit.app_id = check_run.app_id and commit.sha = check_run.sha
     returning ${checkRunColumns}, app.name as app, artifact.folder, commit.definition -> 'checks' -> check_run.name as check,
       case when before.started_at is null then 'now' else 'before' end as started`,
    [checkRunId],
  );
  if (!checkRun) {
    // It ended, but whoever recorded that was killed before the commit heard of it.
    const ended = await row<Pick<CheckRunRow, 'appId' | 'sha'>>(
      pool,
      `select app_id as "appId", sha from check_run where id = $1`,
      [checkRunId],
    );
    if (ended) await commitSettled(context, ended.appId, ended.sha);
    return;
  }
  const about = { appId: checkRun.appId, sha: checkRun.sha };
  if (checkRun.started === 'now')
    await appendEvent(pool, {
      kind: 'check.started',
      ...about,
      message: `Check ${checkRun.name} runs.`,
      data: { check: checkRun.name },
    });
  const { check } = checkRun;
  const outcome =
    check && checkRun.folder !== null
      ? await runCommandCheck(
          context.engines.machine.engine,
          { id: `check-${checkRun.id}`, app: checkRun.app, sha: checkRun.sha, check, folder: checkRun.folder },
          attempt.signal,
        )
      : { state: 'failed' as const, reason: 'its artifact is gone; push the commit again', output: [], seconds: 0 };

  await transaction(pool, async (client) => {
    const recorded = await row(
      client,
      `update check_run set state = $2, reason = $3, output = $4, finished_at = now()
     where id = $1 and state = 'running' returning id`,
      [checkRun.id, outcome.state, outcome.reason, outcome.output],
    );
    if (!recorded) return;
    await appendEvent(client, {
      kind: outcome.state === 'passed' ? 'check.passed' : 'check.failed',
      ...about,
      message:
        outcome.state === 'passed'
          ? `Check ${checkRun.name} passed in ${outcome.seconds.toFixed(1)} s.`
          : `Check ${checkRun.name} failed after ${outcome.seconds.toFixed(1)} s: ${outcome.reason}`,
      data: { check: checkRun.name, seconds: outcome.seconds, lastLines: outcome.output.slice(-20) },
    });
  });
  await commitSettled(context, checkRun.appId, checkRun.sha);
}
