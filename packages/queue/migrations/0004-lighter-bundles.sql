-- The last place that a bundle covers: a claim that begins behind it need not read which tasks it holds. One made by an earlier version
-- covers all. Compressing ids costs more than it saves.
alter table bundle
  alter column task_ids set storage external,
  add column last_priority integer not null default 2147483647,
  add column last_position bigint not null default 9223372036854775807;

create or replace function claim_singly(
  claimer uuid, line_kind text, line_lane text, from_priority integer, from_position bigint, to_priority integer, slots integer,
  oldest_bundle bigint
) returns setof task language plpgsql set search_path from current as $$
begin
  perform pg_advisory_xact_lock_shared(line_key(line_kind, line_lane));
  -- "= any(array(...))", not a join: of a join with so many rows as PostgreSQL guesses here, it scans the whole table.
  return query
    update task set state = 'running', worker_id = claimer, lease = lease + 1, attempts = attempts + 1, waits_as = null
    where id = any(array(
      select candidate.id from task as candidate
      where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
        and (candidate.priority, candidate.position) >= (from_priority, from_position) and candidate.priority <= to_priority
        and candidate.id not in (
          select unnest(bundle.task_ids) from bundle
          where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle
            and (bundle.last_priority, bundle.last_position) >= (from_priority, from_position)
        )
        and exists (select from worker where worker.id = claimer and worker.gone_at is null)
      order by candidate.priority, candidate.position
      limit slots
      for update of candidate skip locked
    ))
    returning task.*;
end $$;

-- Leases the next tasks of one line as a bundle: see 0003. Each task is read once, and each column is returned as one text, "{1,2}", for all
-- tasks: the client takes it apart several times faster than rows. "traces" is a JSON array, or null when no task has one; "payloads" is a JSON array.
drop function claim_bundle;
create function claim_bundle(
  claimer uuid, line_kind text, line_lane text, from_priority integer, from_position bigint, to_priority integer, slots integer,
  oldest_bundle bigint
) returns table (
  bundle_id bigint, oldest bigint, apart integer,
  ids text, leases text, priorities text, positions text, losses text, waited_ms text, traces json, payloads text
) language plpgsql set search_path from current as $$
declare
  found record;
  fit integer;
begin
  perform pg_advisory_xact_lock(line_key(line_kind, line_lane));
  if not exists (select from worker where worker.id = claimer and worker.gone_at is null) then
    return;
  end if;
  select count(*)::integer as number, array_agg(next.id) as ids, array_agg(next.lease + 1) as leases, array_agg(next.priority) as priorities,
    array_agg(next.position) as positions, array_agg(next.losses_allowed) as losses,
    array_agg((date_part('epoch', statement_timestamp() - next.run_at) * 1000)::bigint) as waited,
    array_agg(next.trace) as traces, bool_or(next.trace is not null) as traced, array_agg(next.payload::text) as payloads,
    array_agg(next.attempts = 0) as fresh,
    array_agg(next.attempts = 0 and next.waits_as is null and next.batch_id is null and next.keep_seconds = 0 and not next.cancelled) as fits
  into found
  from (
    select candidate.* from task as candidate
    where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
      and (candidate.priority, candidate.position) >= (from_priority, from_position) and candidate.priority <= to_priority
      and candidate.id not in (
        select unnest(bundle.task_ids) from bundle
        where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle
          and (bundle.last_priority, bundle.last_position) >= (from_priority, from_position)
      )
    order by candidate.priority, candidate.position
    limit slots
  ) as next;
  if found.number = 0 then
    return;
  end if;
  fit := coalesce(array_position(found.fits, false) - 1, found.number);
  apart := case when fit < found.number
    then greatest(1, coalesce(array_position(found.fresh, false, fit + 1) - 1, slots) - fit) end;
  if fit = 0 then
    return next;
    return;
  end if;
  insert into bundle (worker_id, kind, lane, task_ids, last_priority, last_position)
  values (claimer, line_kind, line_lane, found.ids[1:fit], found.priorities[fit], found.positions[fit])
  returning bundle.id into bundle_id;
  oldest := (select min(bundle.id) from bundle where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle);
  ids := found.ids[1:fit];
  leases := found.leases[1:fit];
  priorities := found.priorities[1:fit];
  positions := found.positions[1:fit];
  losses := found.losses[1:fit];
  waited_ms := found.waited[1:fit];
  traces := case when found.traced then to_json(found.traces[1:fit]) end;
  payloads := '[' || array_to_string(found.payloads[1:fit], ',') || ']';
  return next;
end $$;
