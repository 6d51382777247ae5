import type { PoolClient } from 'pg';
import type { Commit } from '@slipway/forge';
import type { Context } from '../context.ts';
import type { CommitState } from '../database/records.ts';
import { theRow } from '../database/sql.ts';
import { enqueuePrepare } from '../tasks.ts';
import type { Definition } from './definition.ts';

/**
 * Records a commit that somebody wants released, or finds it, and enqueues what is still to be done for it. One that failed is tried
 * again; so is one whose artifact was deleted since, to save space.
 *
 * @param read what its slipway.yaml says; a commit without a valid one is recorded as failed.
 */
export async function recordCommit(
  context: Pick<Context, 'queue'>,
  client: PoolClient,
  app: { id: string; name: string },
  commit: Commit,
  read: Definition,
): Promise<void> {
  const { state } = await theRow<{ state: CommitState }>(
    client,
    `insert into commit (app_id, sha, tree, subject, author, authored_at, state, reason, definition)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     on conflict (app_id, sha) do update set pushed_at = now(), definition = excluded.definition, reason = excluded.reason,
       state = case when excluded.state = 'failed' or commit.state = 'failed' or commit.state = 'passed' and not exists (
           select from artifact where artifact.app_id = commit.app_id and artifact.id = commit.artifact and artifact.state = 'ready')
         then excluded.state else commit.state end
     returning state`,
    [
      app.id,
      commit.sha,
      commit.tree,
      commit.subject,
      commit.author,
      new Date(commit.authoredAt),
      read.ok ? 'received' : 'failed',
      read.ok ? null : read.reason,
      read.ok ? read.app : null,
    ],
  );
  if (state !== 'received') return;
  // With checks to skip it would be released by an artifact that is no more.
  await client.query(`update commit set artifact = null where app_id = $1 and sha = $2`, [app.id, commit.sha]);
  await enqueuePrepare(context.queue, client, {
    app: app.name,
    appId: app.id,
    sha: commit.sha,
    tree: commit.tree,
  });
}
