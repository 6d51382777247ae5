import path from 'node:path';
import { readdir, rename } from 'node:fs/promises';
import type { Context } from '../context.ts';
import { rows, transaction } from '../database/sql.ts';
import { removeSealed } from './artifact.ts';

/** How many releases of each environment can be rolled back to, of those that served. */
export const keptReleases = 10;

/**
 * Deletes artifacts nobody can ask for any more: of no kept release, no running rollout, no commit that is the head of a branch, and
 * older than an hour. Its row stays, as `deleted`: it counts the attempts to build it. Its folder gets another name in the same transaction,
 * so that it is there or not, never half; what a kill leaves behind is swept.
 */
export async function collectArtifacts(context: Context, { appId }: { appId: string }): Promise<void> {
  const condemned = await transaction(context.pool, async (client) => {
    const unused = await rows<{ folder: string }>(
      client,
      `with kept as (
       select artifact from (
         select release.artifact, row_number() over (partition by release.environment_id order by release.number desc) as age
         from release join environment on environment.id = release.environment_id
         where release.app_id = $1 and environment.removal <> 'removed' and release.served_at is not null) as recent
       where age <= $2
       union select release.artifact from environment
         join release on release.app_id = environment.app_id and release.number = environment.current_release
         where environment.app_id = $1 and environment.removal <> 'removed'
       union select release.artifact from rollout join release on release.app_id = rollout.app_id and release.number = rollout.release
         where rollout.app_id = $1 and rollout.state in ('waiting', 'running')
       union select commit.artifact from rollout join commit on commit.app_id = rollout.app_id and commit.sha = rollout.sha
         where rollout.app_id = $1 and rollout.state in ('waiting', 'running') and commit.artifact is not null
       union select commit.artifact from commit
         where commit.app_id = $1 and commit.artifact is not null and (commit.pushed_at > now() - interval '1 hour'
           or exists (select from branch where branch.app_id = commit.app_id and branch.sha = commit.sha)))
     update artifact set state = 'deleted'
     where artifact.app_id = $1 and artifact.created_at < now() - interval '1 hour'
       and artifact.state in ('ready', 'failed') and artifact.id not in (select artifact from kept)
     returning artifact.folder`,
      [appId, keptReleases],
    );
    const renamed = unused.map(({ folder }) => ({ folder, name: `${folder}.deleted.${Date.now()}` }));
    for (const { folder, name } of renamed) await rename(folder, name).catch(unlessMissing);
    return renamed;
  });
  for (const { name } of condemned) await removeSealed(name);
}

function unlessMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
  throw error;
}

/**
 * Makes rows and folders agree after a kill in the middle of a checkout or of a collection: folders without a row are removed, and what has no
 * folder is recorded as deleted, so that its commit can be built again. Run before any task is.
 */
export async function sweepArtifacts(context: Context): Promise<void> {
  const apps = await readdir(context.artifacts, { withFileTypes: true }).catch(() => []);
  for (const app of apps) {
    if (!app.isDirectory()) continue;
    const folder = path.join(context.artifacts, app.name);
    const known = new Set(
      (
        await rows<{ id: string }>(
          context.pool,
          `select artifact.id from artifact join app on app.id = artifact.app_id where app.name = $1 and artifact.state <> 'deleted'`,
          [app.name],
        )
      ).map(({ id }) => id),
    );
    const entries = await readdir(folder);
    for (const entry of entries) if (!known.has(entry)) await removeSealed(path.join(folder, entry));
    await context.pool.query(
      `update artifact set state = 'deleted' from app
       where app.id = artifact.app_id and app.name = $1 and artifact.state = 'ready' and not (artifact.id = any($2))`,
      [app.name, entries],
    );
  }
}
