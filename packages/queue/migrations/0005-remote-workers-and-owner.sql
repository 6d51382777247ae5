-- Workers over HTTP that are gone, for a day: an end that one of them says again, because the answer got lost, was written before unless its
-- lease was taken back.
create table gone_worker (
  id uuid primary key,
  -- The leases that were taken back from it, as TASK:LEASE.
  taken text[] not null default '{}',
  at timestamptz not null default clock_timestamp()
);

-- Who this queue is, in one row. The object store that it uses is marked with it, so that two queues never share one and delete each
-- other's objects.
create table identity (
  one boolean primary key default true check (one),
  id uuid not null default gen_random_uuid()
);
insert into identity default values;
