import path from 'node:path';
import { readdir } from 'node:fs/promises';
import type { Context } from '../context.ts';
import { rows } from '../database/sql.ts';
import { removeSealed } from './artifact.ts';

/** How many releases of each environment can be rolled back to. */
export const keptReleases = 10;

/**
 * Deletes artifacts nobody can ask for any more: of no kept release, no running rollout, no commit that is the head of a branch, and
 * older than an hour. The row goes first, so that a folder without a row is what a kill leaves behind; those are swept as well.
 */
export async function collectArtifacts(context: Context, { appId }: { appId: string }): Promise<void> {
  const unused = await rows<{ id: string; folder: string; app: string }>(
    context.pool,
    `with kept as (
       select artifact from (
         select release.artifact, row_number() over (partition by release.environment_id order by release.number desc) as age
         from release join environment on environment.id = release.environment_id
         where release.app_id = $1 and environment.removal <> 'removed') as recent
       where age <= $2
       union select release.artifact from environment
         join release on release.app_id = environment.app_id and release.number = environment.current_release
         where environment.app_id = $1 and environment.removal <> 'removed'
       union select release.artifact from rollout join release on release.app_id = rollout.app_id and release.number = rollout.release
         where rollout.app_id = $1 and rollout.state in ('waiting', 'running')
       union select commit.artifact from commit
         where commit.app_id = $1 and commit.artifact is not null and (commit.pushed_at > now() - interval '1 hour'
           or exists (select from branch where branch.app_id = commit.app_id and branch.sha = commit.sha)))
     delete from artifact using app
     where artifact.app_id = $1 and app.id = artifact.app_id and artifact.created_at < now() - interval '1 hour'
       and artifact.state <> 'building' and artifact.id not in (select artifact from kept)
     returning artifact.id, artifact.folder, app.name as app`,
    [appId, keptReleases],
  );
  for (const { folder } of unused) await removeSealed(folder);
}

/** Removes folders of artifacts without a row: left by a kill in the middle of a checkout or of a collection. Run before any task is. */
export async function sweepArtifacts(context: Context): Promise<void> {
  const apps = await readdir(context.artifacts, { withFileTypes: true }).catch(() => []);
  for (const app of apps) {
    if (!app.isDirectory()) continue;
    const folder = path.join(context.artifacts, app.name);
    const known = new Set(
      (
        await rows<{ id: string }>(
          context.pool,
          `select artifact.id from artifact join app on app.id = artifact.app_id where app.name = $1`,
          [app.name],
        )
      ).map(({ id }) => id),
    );
    for (const entry of await readdir(folder)) if (!known.has(entry)) await removeSealed(path.join(folder, entry));
  }
}
