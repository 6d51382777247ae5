import type { ApiRelease } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import type { AppRow } from '../database/records.ts';
import { rows } from '../database/sql.ts';

/** Releases of an app, or of one of its environments, newest first. */
export async function listReleases(
  context: Pick<Context, 'pool'>,
  app: AppRow,
  environment: string | null,
  limit: number,
): Promise<ApiRelease[]> {
  const found = await rows<
    Omit<ApiRelease, 'createdAt' | 'servedAt' | 'app'> & { createdAt: Date; servedAt: Date | null }
  >(
    context.pool,
    `select release.number, environment.name as environment, release.sha as commit, commit.subject, commit.author,
       release.artifact, environment.current_release is not distinct from release.number and environment.removal <> 'removed' as current,
       release.created_at as "createdAt", release.served_at as "servedAt", release.actor
     from release
     join environment on environment.id = release.environment_id
     join commit on commit.app_id = release.app_id and commit.sha = release.sha
     where release.app_id = $1 and ($2::text is null or environment.name = $2)
     order by release.number desc limit $3`,
    [app.id, environment, limit],
  );
  return found.map((release) => ({
    app: app.name,
    ...release,
    createdAt: release.createdAt.toISOString(),
    servedAt: release.servedAt?.toISOString() ?? null,
  }));
}
