import type { App, Environment as EnvironmentPolicy } from '@slipway/app';
import type { Plan } from '@slipway/engine';

/** The rows of the control plane, as the statements in this package select them. Column lists stand here once. */

export interface AppRow {
  id: string;
  name: string;
  defaultBranch: string | null;
  createdAt: Date;
}
export const appColumns = `app.id, app.name, app.default_branch as "defaultBranch", app.created_at as "createdAt"`;

/** received: not looked at yet; preparing: checkout and build; checking; passed; failed: `reason` says why. */
export type CommitState = 'received' | 'preparing' | 'checking' | 'passed' | 'failed';
export interface CommitRow {
  appId: string;
  sha: string;
  tree: string;
  subject: string;
  author: string;
  state: CommitState;
  reason: string | null;
  definition: App | null;
  artifact: string | null;
}
export const commitColumns = `commit.app_id as "appId", commit.sha, commit.tree, commit.subject, commit.author,
  commit.state, commit.reason, commit.definition, commit.artifact`;

export type CheckState = 'queued' | 'running' | 'passed' | 'failed' | 'superseded';
export interface CheckRunRow {
  id: string;
  appId: string;
  sha: string;
  name: string;
  state: CheckState;
  reason: string | null;
}
export const checkRunColumns = `check_run.id, check_run.app_id as "appId", check_run.sha, check_run.name, check_run.state, check_run.reason`;

export type EnvironmentKind = 'branch' | 'environment' | 'pull-request';
export interface EnvironmentRow {
  id: string;
  appId: string;
  app: string;
  name: string;
  kind: EnvironmentKind;
  branch: string | null;
  pullRequest: number | null;
  policy: EnvironmentPolicy;
  /** The engine that runs it; null until something is planned there. */
  engine: string | null;
  currentRelease: number | null;
  heldCommit: string | null;
  failure: string | null;
  plan: Plan | null;
  generation: string;
  activity: 'awake' | 'asleep';
  expiresAt: Date | null;
  removal: 'none' | 'waiting' | 'removing' | 'removed';
  updatedAt: Date;
}
/** For `from environment join app on app.id = environment.app_id`. */
export const environmentColumns = `environment.id, environment.app_id as "appId", app.name as app, environment.name,
  environment.kind, environment.branch, environment.pull_request as "pullRequest", environment.policy, environment.engine,
  environment.current_release as "currentRelease", environment.held_commit as "heldCommit", environment.failure,
  environment.plan, environment.generation, environment.activity, environment.expires_at as "expiresAt",
  environment.removal, environment.updated_at as "updatedAt"`;
export const environmentTable = `environment join app on app.id = environment.app_id`;

export interface ReleaseRow {
  appId: string;
  number: number;
  environmentId: string;
  sha: string;
  artifact: string;
  definition: App;
  config: Record<string, string>;
  /** What runs for each image that the definition names; null: the artifact itself runs. */
  images: Record<string, string> | null;
  actor: string;
  createdAt: Date;
  servedAt: Date | null;
}
export const releaseColumns = `release.app_id as "appId", release.number, release.environment_id as "environmentId",
  release.sha, release.artifact, release.definition, release.config, release.images, release.actor,
  release.created_at as "createdAt", release.served_at as "servedAt"`;

export type RolloutKind = 'deploy' | 'promote' | 'rollback';
export type RolloutState = 'waiting' | 'running' | 'succeeded' | 'failed' | 'superseded' | 'cancelled';
export type RolloutPhase = 'checks' | 'approval' | 'release' | 'jobs' | 'start' | 'shift' | 'done';
export interface RolloutRow {
  id: string;
  appId: string;
  app: string;
  environmentId: string;
  environment: string;
  kind: RolloutKind;
  cause: 'automatic' | 'person';
  state: RolloutState;
  phase: RolloutPhase;
  step: string;
  sha: string;
  release: number | null;
  approval: 'none' | 'required' | 'given';
  checks: 'wait' | 'skip';
  reason: string | null;
  actor: string;
  createdAt: Date;
  finishedAt: Date | null;
}
export const rolloutColumns = `rollout.id, rollout.app_id as "appId", app.name as app,
  rollout.environment_id as "environmentId", environment.name as environment, rollout.kind, rollout.cause,
  rollout.state, rollout.phase, rollout.step, rollout.sha, rollout.release, rollout.approval, rollout.checks,
  rollout.reason, rollout.actor, rollout.created_at as "createdAt", rollout.finished_at as "finishedAt"`;
export const rolloutTable = `rollout join environment on environment.id = rollout.environment_id join app on app.id = rollout.app_id`;
