-- What a task waits for besides its time: members of a batch that have not ended (blocked).
-- json, not jsonb: it is stored as it came, which is cheaper, and holds everything that JSON can say, also U+0000.
drop index task_ready;
drop index task_running;
drop index task_ready_key;
drop index task_running_key;
alter table task drop constraint task_state_check;
-- Keys take turns from the first on; the empty one would never have its own.
update task set key = null where key = '';
alter table task
  alter column payload type json using payload::json,
  alter column key type text collate "C",
  add check (state in ('scheduled', 'blocked', 'ready', 'running')),
  -- Which workers take it. A task that ran out of memory or time in normal goes to fallback once, and stays there.
  add column lane text not null default 'normal' check (lane in ('normal', 'fallback')),
  -- Its place in the line of its lane, at first its id. It keeps it when an attempt was lost or interrupted, and goes to the end when it was delayed:
  -- then no claim has to look for it among the places that are long empty.
  add column position bigint not null default nextval('task_id_seq'),
  -- Which of the slots of its key it holds while it runs; null: its kind sets no limit.
  add column key_slot integer,
  add column crashes integer not null default 0,
  add column ooms integer not null default 0,
  add column timeouts integer not null default 0,
  add column batch_id bigint,
  -- For how long its result is kept after it is done; 0: not at all.
  add column keep_seconds integer not null default 0,
  add column progress json,
  -- W3C traceparent of the span that enqueued it.
  add column trace text;

-- In the exact order of the claim: tasks without a key by their place in line, the others key by key.
create index task_ready on task (kind, lane, priority, position) where state = 'ready' and key is null;
create index task_ready_keyed on task (kind, lane, key, priority, position) where state = 'ready' and key is not null;
create index task_ready_key on task (key, position) where state = 'ready' and key is not null;
create index task_running on task (worker_id) where state = 'running';
-- The last word on "so many at a time": two claims that could not see each other collide here.
create unique index task_running_key on task (key, key_slot) where state = 'running' and key is not null;
update task set key_slot = 1 where state = 'running' and key is not null;

-- A worker that is gone keeps its row until its tasks are taken back and no claim of it can be under way any more.
alter table worker
  add column gone_at timestamptz,
  -- How long it may be silent: by its own measure, since processes with different leases share these tables.
  add column lease_seconds double precision not null default 15;
insert into worker (id, gone_at)
select distinct worker_id, clock_timestamp() from task
where state = 'running' and not exists (select from worker where worker.id = task.worker_id);

alter table dead_task drop constraint dead_task_cause_check;
alter table dead_task
  alter column payload type json using payload::json,
  add column lane text not null default 'normal',
  add column crashes integer not null default 0,
  add column ooms integer not null default 0,
  add column timeouts integer not null default 0,
  add column keep_seconds integer not null default 0,
  -- So that the closing task of a batch finds the results when it is made ready again.
  add column batch_id bigint,
  add column trace text,
  add check (cause in ('retries-used', 'discarded', 'invalid-payload', 'lost', 'crashed', 'out-of-memory', 'timed-out', 'input-missing'));

-- Results of tasks whose kind keeps them.
create table done_task (
  id bigint primary key,
  kind text not null,
  lane text not null,
  key text collate "C",
  attempts integer not null,
  result json,
  -- Files that the attempt left, by name.
  output json,
  created_at timestamptz not null,
  finished_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
);
create index done_task_recent on done_task (kind, finished_at desc);
create index done_task_expired on done_task (expires_at);

-- Tasks that were added together; when the last of them has ended, the task `fan_in` becomes ready.
create table batch (
  id bigint generated always as identity primary key,
  fan_in bigint not null,
  size integer not null,
  open integer not null check (open >= 0)
) with (fillfactor = 50);
-- What housekeeping looks at.
create index batch_ended on batch (fan_in) where open = 0;
create table batch_result (
  batch_id bigint not null references batch (id) on delete cascade,
  task_id bigint not null,
  outcome text not null check (outcome in ('done', 'dead', 'cancelled')),
  result json,
  primary key (batch_id, task_id)
);

create table cron (
  name text primary key,
  kind text not null,
  schedule text not null,
  timezone text not null,
  -- What each tick adds.
  task json not null,
  -- infinity: never again.
  next_at timestamptz not null
);

-- When the next task may start, by the generic cell rate algorithm: `tat` is the theoretical arrival time (ITU-T I.371).
create table rate (
  name text primary key,
  tat timestamptz not null,
  granted integer not null default 0
) with (fillfactor = 50);

-- What happened since the beginning, by kind and lane. Every process adds its counts now and then.
create table tally (
  kind text not null,
  lane text not null,
  enqueued bigint not null default 0,
  started bigint not null default 0,
  done bigint not null default 0,
  errors bigint not null default 0,
  ooms bigint not null default 0,
  timeouts bigint not null default 0,
  crashes bigint not null default 0,
  lost bigint not null default 0,
  interrupted bigint not null default 0,
  snoozed bigint not null default 0,
  escalated bigint not null default 0,
  dead bigint not null default 0,
  cancelled bigint not null default 0,
  -- Sums over ended attempts.
  busy_seconds double precision not null default 0,
  waited_seconds double precision not null default 0,
  primary key (kind, lane)
) with (fillfactor = 50);

-- What attempts used, the newest of each kind: what sizes are proposed from.
create table attempt_usage (
  id bigint generated always as identity primary key,
  kind text not null,
  task_id bigint not null,
  lane text not null,
  ended text not null check (ended in ('done', 'error', 'oom', 'timeout', 'crash')),
  peak_bytes bigint not null,
  cpu_seconds double precision not null,
  wall_seconds double precision not null,
  limit_bytes bigint,
  limit_cpu double precision,
  limit_seconds double precision,
  at timestamptz not null default clock_timestamp()
);
create index attempt_usage_recent on attempt_usage (kind, id desc);

-- Sizes and numbers of workers that were decided, by queue and lane, for those that run them.
create table lane (
  kind text not null,
  lane text not null,
  slots integer not null default 0,
  sizes json,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (kind, lane)
);
