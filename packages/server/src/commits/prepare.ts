import { SlipwayError } from '@slipway/app';
import type { Attempt } from '@slipway/queue';
import type { Context } from '../context.ts';
import { commitColumns, type CheckRunRow, type CommitRow } from '../database/records.ts';
import { row, transaction } from '../database/sql.ts';
import { makeArtifact } from '../releases/artifact.ts';
import { checkTask } from '../tasks.ts';
import { commitSettled, failCommit, sayWaiting } from './settle.ts';

/**
 * Checks a commit out, builds it and starts its checks.
 *
 * | commit state | meaning | moved by |
 * | --- | --- | --- |
 * | received  | recorded, definition valid | a push |
 * | preparing | checkout and build | this task |
 * | checking  | its checks run over the sealed artifact | this task |
 * | passed    | every check passed: it may be released | the last check, or this task when there is none |
 * | failed    | definition, build or a check failed; `reason` says which | whichever failed |
 */
export async function prepareCommit(
  context: Context,
  payload: { app: string; appId: string; sha: string },
  attempt: Attempt,
): Promise<void> {
  const { pool, queue } = context;
  const commit = await row<CommitRow>(
    pool,
    `update commit set state = case when state = 'received' then 'preparing' else state end
     where app_id = $1 and sha = $2 returning ${commitColumns}`,
    [payload.appId, payload.sha],
  );
  if (!commit?.definition || !['preparing', 'checking'].includes(commit.state)) return;
  const { definition } = commit;

  const artifact = await makeArtifact(context, { ...payload, tree: commit.tree, definition }, attempt.signal).catch(
    async (error: unknown) => {
      if (error instanceof SlipwayError && error.kind === 'transient')
        await sayWaiting(context, payload, error.message);
      throw error;
    },
  );
  if (!artifact.ok) {
    await failCommit(context, payload.appId, payload.sha, artifact.reason);
    return;
  }

  await transaction(pool, async (client) => {
    const moved = await row(
      client,
      `update commit set state = 'checking', artifact = $3
       where app_id = $1 and sha = $2 and state = 'preparing' returning sha`,
      [payload.appId, payload.sha, artifact.id],
    );
    if (!moved) return;
    for (const name of Object.keys(definition.checks)) {
      const checkRun = await row<Pick<CheckRunRow, 'id'>>(
        client,
        `insert into check_run (app_id, sha, name) values ($1, $2, $3) returning id`,
        [payload.appId, payload.sha, name],
      );
      if (checkRun) await queue.enqueue(checkTask, { checkRunId: checkRun.id }, { client });
    }
  });
  // Rollouts that do not wait for checks can go on now; without checks all can.
  await commitSettled(context, payload.appId, payload.sha);
}
