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

-- How the slots of a lane are shared by the workers over HTTP that follow its number: at most so many each of them runs.
create table lane_share (
  kind text not null,
  lane text not null,
  worker_id uuid not null references worker (id) on delete cascade,
  held integer not null,
  primary key (kind, lane, worker_id)
);
create index lane_share_worker on lane_share (worker_id);

-- How many slots of a lane a worker may use from now on; null: nobody decided how many the lane has. All get the same, those with small ids one
-- more where that does not come out even; but nobody gets what another one still holds. It holds "holds" (what it was told last, or what
-- it runs, if that is more) until it says less, so that the sum is never above the lane's number. Without a change, nothing is locked or written.
create function share_lane(claimer uuid, lane_kind text, lane_name text, holds integer, news_channel text) returns integer
language plpgsql set search_path from current as $$
declare
  total integer;
  rivals integer;
  before integer;
  theirs integer;
  own integer;
  told integer;
  held_now integer;
begin
  for pass in 1..2 loop
    select slots into total from lane where kind = lane_kind and lane = lane_name;
    if not found then
      return null;
    end if;
    if not exists (select from worker where id = claimer and gone_at is null) then
      return 0;
    end if;
    select count(*), count(*) filter (where share.worker_id < claimer), coalesce(sum(share.held), 0) into rivals, before, theirs
    from lane_share as share join worker on worker.id = share.worker_id and worker.gone_at is null
    where share.kind = lane_kind and share.lane = lane_name and share.worker_id <> claimer;
    select held into own from lane_share where kind = lane_kind and lane = lane_name and worker_id = claimer;
    told := least(total / (rivals + 1) + (before < total % (rivals + 1))::integer, greatest(0, total - theirs));
    held_now := greatest(told, least(holds, coalesce(own, 0)));
    if own = held_now then
      return told;
    end if;
    -- The others see what is written here, or this sees what they wrote.
    perform from lane where kind = lane_kind and lane = lane_name for update;
  end loop;
  insert into lane_share (kind, lane, worker_id, held) values (lane_kind, lane_name, claimer, held_now)
  on conflict (kind, lane, worker_id) do update set held = excluded.held;
  if own is null or held_now < own then
    perform pg_notify(news_channel, concat_ws(' ', 'slots', lane_kind, lane_name, total));
  end if;
  return told;
end $$;
