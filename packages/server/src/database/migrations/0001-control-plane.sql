-- Everything that exists is a row; every change appends an event.

create table app (
  id bigint generated always as identity primary key,
  name text not null unique,
  -- The branch whose slipway.yaml declares the environments; set by the first push to a tracked branch.
  default_branch text,
  -- Release numbers are given out here, so that they are dense and never reused.
  last_release integer not null default 0,
  last_pull_request integer not null default 0,
  created_at timestamptz not null default now()
);

create table commit (
  app_id bigint not null references app,
  sha text not null,
  tree text not null,
  subject text not null,
  author text not null,
  authored_at timestamptz not null,
  pushed_at timestamptz not null default now(),
  -- received: not looked at yet; preparing: checkout and build; checking; passed; failed (reason says why)
  state text not null default 'received',
  reason text,
  -- The validated slipway.yaml of this commit; null when it is missing or broken.
  definition jsonb,
  artifact text,
  primary key (app_id, sha)
);

-- What the forge said last; compared with what it says now to find what happened.
create table branch (
  app_id bigint not null references app,
  name text not null,
  sha text not null,
  pushed_at timestamptz not null default now(),
  primary key (app_id, name)
);

create table pull_request (
  app_id bigint not null references app,
  number integer not null,
  branch text not null,
  sha text not null,
  opened_at timestamptz not null default now(),
  closed_at timestamptz,
  primary key (app_id, number)
);
create unique index pull_request_open on pull_request (app_id, branch) where closed_at is null;

create table artifact (
  app_id bigint not null references app,
  -- Hash of the tree and the build commands: equal content is built once.
  id text not null,
  folder text not null,
  -- building, ready, failed, deleted (its release is no longer kept)
  state text not null,
  -- Grows when a failed build is tried again, so that the engine does not answer with the old result.
  attempt integer not null default 1,
  reason text,
  created_at timestamptz not null default now(),
  primary key (app_id, id)
);

create table check_run (
  id bigint generated always as identity primary key,
  app_id bigint not null references app,
  sha text not null,
  name text not null,
  -- queued, running, passed, failed, superseded
  state text not null default 'queued',
  reason text,
  output text[] not null default '{}',
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz
);
create index check_run_commit on check_run (app_id, sha, name, id desc);

create table environment (
  id bigint generated always as identity primary key,
  app_id bigint not null references app,
  name text not null,
  -- branch, environment, pull-request: how commits get into it
  kind text not null,
  branch text,
  pull_request integer,
  -- The policy it runs under (Environment of the app package), read from the default branch.
  policy jsonb not null,
  current_release integer,
  -- After a rollback: automatic deploys wait for a commit newer than this one.
  held_commit text,
  -- Why the newest rollout failed; null when it did not.
  failure text,
  -- What the engine was told last.
  plan jsonb,
  generation bigint not null default 0,
  -- awake, asleep: what the engine reported last, so that a change becomes one event.
  activity text not null default 'awake',
  expires_at timestamptz,
  -- none, waiting (for a person: too many at once), removing, removed
  removal text not null default 'none',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  removed_at timestamptz
);
create unique index environment_live on environment (app_id, name) where removal <> 'removed';

create table release (
  app_id bigint not null references app,
  number integer not null,
  environment_id bigint not null references environment,
  sha text not null,
  artifact text not null,
  -- Frozen: the definition (App of the app package) and the merged config of this environment.
  definition jsonb not null,
  config jsonb not null,
  actor text not null,
  created_at timestamptz not null default now(),
  -- When it got traffic first; null: it never did.
  served_at timestamptz,
  primary key (app_id, number)
);
create index release_environment on release (environment_id, number desc);

create table rollout (
  id bigint generated always as identity primary key,
  app_id bigint not null references app,
  environment_id bigint not null references environment,
  -- deploy, promote, rollback
  kind text not null,
  -- automatic (a push) or person
  cause text not null,
  -- waiting, running, succeeded, failed, superseded, cancelled
  state text not null default 'waiting',
  -- See the table in rollouts/rollout.ts.
  phase text not null default 'checks',
  step text not null,
  sha text not null,
  release integer,
  -- required, given, none
  approval text not null default 'none',
  -- wait, skip: whether failing checks stop it
  checks text not null default 'wait',
  reason text,
  actor text not null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz
);
create index rollout_environment on rollout (environment_id, id desc);
create index rollout_open on rollout (environment_id) where state in ('waiting', 'running');
-- One rollout at a time moves an environment; several may wait, and the newest that may start ends the others.
create unique index rollout_running on rollout (environment_id) where state = 'running';

create table event (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  app_id bigint references app,
  environment_id bigint references environment,
  rollout_id bigint references rollout,
  sha text,
  kind text not null,
  message text not null,
  actor text not null,
  data jsonb not null default '{}'
);
create index event_app on event (app_id, id desc);
create index event_environment on event (environment_id, id desc);
create index event_commit on event (app_id, sha, id desc);

create table token (
  id bigint generated always as identity primary key,
  name text not null,
  -- viewer, deployer, admin
  role text not null,
  -- SHA-256 of the token; the token itself is not kept.
  hash bytea not null unique,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);
