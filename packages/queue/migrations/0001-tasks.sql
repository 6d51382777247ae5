-- One row per process that works on tasks. Tasks are leased to this row, so that a process has one heartbeat, not one per task.
create table worker (
  id uuid primary key,
  -- What proves on the same host that the process is gone; null: only its heartbeat tells.
  host text,
  pid integer,
  process_start text,
  started_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- Live tasks only: what is done is deleted, what is dead is moved to dead_task. So the table stays as small as the backlog.
create table task (
  id bigint generated always as identity primary key,
  kind text not null,
  payload jsonb not null,
  state text not null check (state in ('scheduled', 'ready', 'running')),
  priority integer not null default 0,
  run_at timestamptz not null,
  key text,
  unique_name text,
  -- The unique name while the task waits; null while it runs, so that a successor may be added.
  waits_as text,
  worker_id uuid,
  -- Fencing token. Grows whenever the task is given to a worker or taken from one; what a worker says counts only under the lease it was given.
  lease bigint not null default 0,
  cancelled boolean not null default false,
  attempts integer not null default 0,
  failures integer not null default 0,
  interruptions integer not null default 0,
  losses integer not null default 0,
  losses_allowed integer not null,
  history jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp(),
  check ((state = 'running') = (worker_id is not null)),
  check (waits_as is null or state <> 'running')
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_analyze_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
);

-- In the exact order of the claim.
create index task_ready on task (kind, priority, id) where state = 'ready';
create index task_scheduled on task (run_at) where state = 'scheduled';
create index task_running on task (worker_id) where state = 'running';
create index task_ready_key on task (key, id) where state = 'ready' and key is not null;
-- The last word on "one at a time": two claims that could not see each other collide here.
create unique index task_running_key on task (key) where state = 'running' and key is not null;
create unique index task_waiting_name on task (kind, waits_as) where waits_as is not null;

create table dead_task (
  id bigint primary key,
  kind text not null,
  payload jsonb not null,
  priority integer not null,
  key text,
  unique_name text,
  lease bigint not null,
  attempts integer not null,
  failures integer not null,
  interruptions integer not null,
  losses integer not null,
  losses_allowed integer not null,
  history jsonb not null,
  created_at timestamptz not null,
  cause text not null check (cause in ('retries-used', 'discarded', 'invalid-payload', 'lost')),
  error text not null,
  died_at timestamptz not null default clock_timestamp()
);
create index dead_task_recent on dead_task (died_at desc, id desc);
