-- What all control planes of this database share: the key that tokens of queues are made with, and where the control plane answers.
create table setting (
  name text primary key,
  value text not null
);

-- What the scaler remembers of each lane of a worker. How many slots it decided is beside the tasks, where runners learn it.
create table worker_lane (
  environment_id bigint not null references environment,
  worker text not null,
  lane text not null check (lane in ('normal', 'fallback')),
  -- ScalingState of the queue package, and the counts it had seen.
  memory jsonb not null,
  slots integer not null,
  -- some, none: whether its environment has to be awake for it.
  work text not null default 'none' check (work in ('some', 'none')),
  reason text not null,
  decided_at timestamptz not null default now(),
  primary key (environment_id, worker, lane)
);

-- When the sizes of a worker's lanes changed last: newer attempts are what the next change is decided from.
create table worker_size (
  environment_id bigint not null references environment,
  worker text not null,
  -- Id of the newest attempt that was measured then.
  sample bigint,
  -- How many attempts had ended when the measurements were looked at last.
  looked bigint not null default 0,
  -- The lanes as slipway.yaml declared them then; other ones there count more.
  declared jsonb not null,
  changed_at timestamptz not null default now(),
  primary key (environment_id, worker)
);

-- Jobs of an environment that the control plane's queue may have a schedule for.
create table scheduled_job (
  environment_id bigint not null references environment,
  job text not null,
  primary key (environment_id, job)
);

-- Definitions from before workers were run: what slipway.yaml could not say yet has its default.
create function with_worker_defaults(definition jsonb) returns jsonb language sql immutable as $$
  select case when definition -> 'workers' is null or definition -> 'workers' = '{}' then definition
    else jsonb_set(definition, '{workers}', (
      select jsonb_object_agg(key, '{"process": "per-task", "sizes": "fixed", "keep": 86400, "keyLimit": null}'::jsonb || value)
      from jsonb_each(definition -> 'workers')))
    end
$$;
update release set definition = with_worker_defaults(definition);
update commit set definition = with_worker_defaults(definition) where definition is not null;
drop function with_worker_defaults(jsonb);
