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

-- Leases the next tasks of one line as a bundle: see 0003. Each task is read once, and little is returned for each: nearly all are new, and of
-- tasks that were added together nearly everything is the same. "details" is null where all have lease 1, no trace and the same number of losses
-- allowed ("losses"), else what each task has, in the order of "ids" and "payloads", a JSON array. Waits are in seconds.
drop function claim_bundle;
create function claim_bundle(
  claimer uuid, line_kind text, line_lane text, from_priority integer, from_position bigint, to_priority integer, slots integer,
  oldest_bundle bigint
) returns table (
  bundle_id bigint, oldest bigint, apart integer, last_priority integer, last_position bigint, longest_wait float8, shortest_wait float8,
  losses integer, ids text, payloads text, details json
) language plpgsql set search_path from current as $$
declare
  found record;
  each record;
  fit integer;
begin
  perform pg_advisory_xact_lock(line_key(line_kind, line_lane));
  if not exists (select from worker where worker.id = claimer and worker.gone_at is null) then
    return;
  end if;
  select count(*)::integer as number, array_agg(next.id) as ids, json_agg(next.payload)::text as payloads, max(next.losses_allowed) as losses,
    min(next.run_at) as first_run, max(next.run_at) as last_run,
    bool_and(next.attempts = 0 and next.waits_as is null and next.batch_id is null and next.keep_seconds = 0 and not next.cancelled) as fit,
    bool_and(next.lease = 0 and next.trace is null) and max(next.losses_allowed) = min(next.losses_allowed) as alike
  into found
  from (
    select candidate.id, candidate.payload, candidate.run_at, candidate.lease, candidate.attempts, candidate.waits_as, candidate.batch_id,
      candidate.keep_seconds, candidate.cancelled, candidate.trace, candidate.losses_allowed
    from task as candidate
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
  fit := found.number;
  if not found.fit or not found.alike then
    -- Seldom: they are read again, each by itself.
    select array_agg(next.attempts = 0) as fresh,
      array_agg(next.attempts = 0 and next.waits_as is null and next.batch_id is null and next.keep_seconds = 0 and not next.cancelled) as fits,
      array_agg(next.payload::text) as payloads, array_agg(next.lease + 1) as leases, array_agg(next.losses_allowed) as losses,
      array_agg(next.trace) as traces
    into each
    from (select * from task where task.id = any(found.ids) order by task.priority, task.position) as next;
    fit := coalesce(array_position(each.fits, false) - 1, fit);
    if fit < found.number then
      apart := greatest(1, coalesce(array_position(each.fresh, false, fit + 1) - 1, slots) - fit);
      found.ids := found.ids[1:fit];
      found.payloads := '[' || array_to_string(each.payloads[1:fit], ',') || ']';
    end if;
    if fit = 0 then
      return next;
      return;
    end if;
    details := json_build_object('leases', each.leases[1:fit], 'losses', each.losses[1:fit], 'traces', each.traces[1:fit]);
  end if;
  select task.priority, task.position into last_priority, last_position from task where task.id = found.ids[fit];
  insert into bundle (worker_id, kind, lane, task_ids, last_priority, last_position)
  values (claimer, line_kind, line_lane, found.ids, claim_bundle.last_priority, claim_bundle.last_position)
  returning bundle.id into bundle_id;
  oldest := (select min(bundle.id) from bundle where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle);
  longest_wait := greatest(0, date_part('epoch', statement_timestamp() - found.first_run));
  shortest_wait := greatest(0, date_part('epoch', statement_timestamp() - found.last_run));
  losses := found.losses;
  ids := found.ids;
  payloads := found.payloads;
  return next;
end $$;

-- Deletes tasks of bundles that are done, all of them or none: true if each bundle is there and each task is leased with them, under the one
-- lease. If not, nothing has changed, and one must look at each by itself.
create function finish_bundled(ended bigint[], common_lease bigint, bundles bigint[], closing bigint[]) returns boolean
language plpgsql set search_path from current as $$
declare
  number integer;
begin
  perform from bundle where id = any(bundles) order by id for update;
  get diagnostics number = row_count;
  if number <> cardinality(bundles) then
    return false;
  end if;
  begin
    delete from task where id = any(ended) and lease = common_lease - 1 and worker_id is null;
    get diagnostics number = row_count;
    if number <> cardinality(ended) then
      raise sqlstate 'SLIPW';
    end if;
  exception when sqlstate 'SLIPW' then
    return false;
  end;
  delete from bundle where id = any(closing);
  return true;
end $$;
