import { row, type Database } from '../database/sql.ts';

/**
 * Every kind of event there is. `why`, the dashboard, the audit log and the console of a push read these and nothing else.
 */
export type EventKind =
  | 'app.created'
  | 'branch.pushed'
  | 'branch.deleted'
  | 'commit.invalid'
  | 'commit.waiting'
  | 'pull-request.opened'
  | 'pull-request.updated'
  | 'pull-request.closed'
  | 'build.started'
  | 'build.passed'
  | 'build.failed'
  | 'check.started'
  | 'check.passed'
  | 'check.failed'
  | 'environment.created'
  | 'environment.changed'
  | 'environment.undeclared'
  | 'environment.asleep'
  | 'environment.awake'
  | 'environment.held'
  | 'environment.expired'
  | 'environment.removal-waits'
  | 'environment.removing'
  | 'environment.removed'
  | 'rollout.created'
  | 'rollout.waiting'
  | 'rollout.approved'
  | 'rollout.step'
  | 'rollout.succeeded'
  | 'rollout.failed'
  | 'rollout.superseded'
  | 'rollout.cancelled'
  | 'release.created'
  | 'job.started'
  | 'job.passed'
  | 'job.failed'
  | 'worker.started'
  | 'worker.stopped'
  | 'worker.resized'
  | 'task.dead'
  | 'instance.failing'
  | 'instance.recovered'
  | 'engine.notice'
  | 'cluster.added'
  | 'cluster.removed'
  | 'token.created'
  | 'token.revoked';

export interface NewEvent {
  kind: EventKind;
  /** For people: what, why, what happens next, what to do. Never a secret. */
  message: string;
  /** A token's name, or `slipway`. */
  actor?: string;
  appId?: string | null;
  environmentId?: string | null;
  rolloutId?: string | null;
  sha?: string | null;
  data?: Record<string, unknown>;
}

/** The channel on which a row's id is announced when its transaction commits: `event:12`, `environment:3`, `cluster:production`. */
export const changeChannel = 'slipway_change';

/**
 * Appends one event and announces it. In the caller's transaction it exists exactly when the change it tells of does.
 */
export async function appendEvent(db: Database, event: NewEvent): Promise<void> {
  await row(
    db,
    `with added as (
       insert into event (app_id, environment_id, rollout_id, sha, kind, message, actor, data)
       values ($1, $2, $3, $4, $5, $6, $7, $8) returning id)
     select pg_notify('${changeChannel}', 'event:' || id) from added`,
    [
      event.appId ?? null,
      event.environmentId ?? null,
      event.rolloutId ?? null,
      event.sha ?? null,
      event.kind,
      event.message,
      event.actor ?? 'slipway',
      event.data ?? {},
    ],
  );
}

/** Announces that an environment's row, rollout or release changed, so that open pages show it. */
export async function announceEnvironment(db: Database, environmentId: string): Promise<void> {
  await db.query(`select pg_notify('${changeChannel}', 'environment:' || $1::text)`, [environmentId]);
}
