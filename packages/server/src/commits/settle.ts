import type { Context } from '../context.ts';
import { row, rows, transaction } from '../database/sql.ts';
import { rolloutColumns, rolloutTable, type RolloutRow } from '../database/records.ts';
import { announceEnvironment, appendEvent } from '../events/append.ts';
import { wakeRollout } from '../rollouts/create.ts';

/**
 * Looks whether a commit has all it needs to be released, and wakes the rollouts that wait for it. Called whenever something about the
 * commit ended; calling it again changes nothing.
 */
export async function commitSettled(context: Context, appId: string, sha: string): Promise<void> {
  await transaction(context.pool, async (client) => {
    // Two checks that end at once: the second to lock the row sees the first one's result.
    const commit = await row<{ state: string }>(
      client,
      `select state from commit where app_id = $1 and sha = $2 for no key update`,
      [appId, sha],
    );
    if (!commit) return;
    if (commit.state === 'checking') {
      const checks = await rows<{ name: string; state: string; reason: string | null }>(
        client,
        `select distinct on (name) name, state, reason from check_run where app_id = $1 and sha = $2 order by name, id desc`,
        [appId, sha],
      );
      const failed = checks.find(({ state }) => state === 'failed');
      const open = checks.some(({ state }) => state === 'queued' || state === 'running');
      if (failed)
        await client.query(`update commit set state = 'failed', reason = $3 where app_id = $1 and sha = $2`, [
          appId,
          sha,
          `check ${failed.name} failed: ${failed.reason}`,
        ]);
      else if (!open)
        await client.query(`update commit set state = 'passed' where app_id = $1 and sha = $2`, [appId, sha]);
    }
    const waiting = await rows<RolloutRow>(
      client,
      `select ${rolloutColumns} from ${rolloutTable}
       where rollout.app_id = $1 and rollout.sha = $2 and rollout.state = 'waiting' and rollout.phase = 'checks'
       order by rollout.environment_id, rollout.id`,
      [appId, sha],
    );
    for (const rollout of waiting) await wakeRollout(context, client, rollout);
  });
}

/** A commit that can't be released: its rollouts end with this reason. One that was decided about already stays as it is. */
export async function failCommit(context: Context, appId: string, sha: string, reason: string): Promise<void> {
  await context.pool.query(
    `update commit set state = 'failed', reason = $3
     where app_id = $1 and sha = $2 and state in ('received', 'preparing', 'checking')`,
    [appId, sha, reason],
  );
  await commitSettled(context, appId, sha);
}

/** A passing fault holds a commit up: whoever waits for it is told why, once for each reason. */
export async function sayWaiting(
  context: Context,
  { appId, sha }: { appId: string; sha: string },
  reason: string,
): Promise<void> {
  const step = `waits, because ${reason}`;
  const changed = await rows<{ environmentId: string }>(
    context.pool,
    `update rollout set step = $3 where app_id = $1 and sha = $2 and state = 'waiting' and phase = 'checks' and step <> $3
     returning environment_id as "environmentId"`,
    [appId, sha, step],
  );
  for (const { environmentId } of changed) {
    await appendEvent(context.pool, {
      kind: 'commit.waiting',
      appId,
      environmentId,
      sha,
      message: `${sha.slice(0, 8)} waits: ${reason} It is tried again until it works.`,
    });
    await announceEnvironment(context.pool, environmentId);
  }
}
