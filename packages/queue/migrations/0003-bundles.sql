-- Many short tasks that one worker leased with one row: a claim and an end then write no row of a task but the deletion. While a task is
-- named here and waits in its line (state 'ready'), it is that worker's, under the lease after the one in its row. Whatever else than being
-- done happens to it takes it out first.
create table bundle (
  id bigint generated always as identity primary key,
  -- A version that does not know of bundles may delete the row of a worker that is gone: its bundles go with it, and their tasks are free.
  worker_id uuid not null references worker (id) on delete cascade,
  kind text not null,
  lane text not null,
  task_ids bigint[] not null
);
create index bundle_line on bundle (kind, lane, id);
create index bundle_worker on bundle (worker_id);

-- What claims of one line lock: alone for a bundle, together for single tasks.
create function line_key(line_kind text, line_lane text) returns bigint language sql stable set search_path from current
return hashtextextended(concat_ws(' ', 'slipway line', current_schema(), line_kind, line_lane), 0);

-- Leases tasks of one line one by one. It holds the line's lock shared: a claim of a bundle, which holds it alone, has committed
-- before, and is seen, because within a function each statement sees what was committed when it began.
create function claim_singly(
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
        )
        and exists (select from worker where worker.id = claimer and worker.gone_at is null)
      order by candidate.priority, candidate.position
      limit slots
      for update of candidate skip locked
    ))
    returning task.*;
end $$;

-- Leases the next tasks of one line as a bundle, up to the first that is to be claimed by itself: one that was begun before, waits under a
-- unique name, is in a batch or keeps its result. "apart" is how many from there on are to be claimed one by one (null: there is none): a task
-- that was begun before is alone, since it may take its process down. "oldest" is the first bundle of the line that is still open: ids of
-- bundles grow in the order of their commits, since the lock is held until then. "tasks" is one flat JSON array: id, lease, priority,
-- position, losses allowed, seconds waited, traceparent and payload of the first task, then of the next.
create function claim_bundle(
  claimer uuid, line_kind text, line_lane text, from_priority integer, from_position bigint, to_priority integer, slots integer,
  oldest_bundle bigint
) returns table (bundle_id bigint, oldest bigint, tasks text, apart integer) language plpgsql set search_path from current as $$
declare
  taken bigint[];
  fits boolean[];
  fresh boolean[];
  fit integer;
  made bigint;
begin
  perform pg_advisory_xact_lock(line_key(line_kind, line_lane));
  if not exists (select from worker where worker.id = claimer and worker.gone_at is null) then
    return;
  end if;
  select array_agg(next.id), array_agg(next.attempts = 0),
    array_agg(next.attempts = 0 and next.waits_as is null and next.batch_id is null and next.keep_seconds = 0 and not next.cancelled)
  into taken, fresh, fits
  from (
    select candidate.id, candidate.attempts, candidate.waits_as, candidate.batch_id, candidate.keep_seconds, candidate.cancelled
    from task as candidate
    where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
      and (candidate.priority, candidate.position) >= (from_priority, from_position) and candidate.priority <= to_priority
      and candidate.id not in (
        select unnest(bundle.task_ids) from bundle
        where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle
      )
    order by candidate.priority, candidate.position
    limit slots
  ) as next;
  if taken is null then
    return;
  end if;
  fit := coalesce(array_position(fits, false) - 1, cardinality(taken));
  apart := case when fit < cardinality(taken)
    then greatest(1, coalesce(array_position(fresh, false, fit + 1) - 1, slots) - fit) end;
  if fit = 0 then
    return next;
    return;
  end if;
  taken := taken[1:fit];
  insert into bundle (worker_id, kind, lane, task_ids) values (claimer, line_kind, line_lane, taken) returning bundle.id into made;
  -- One text for all: the client reads it several times faster than as many rows.
  return query
    select made, (select min(bundle.id) from bundle where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle),
      '[' || string_agg(concat_ws(',', task.id, task.lease + 1, task.priority, task.position, task.losses_allowed,
        round(greatest(0, extract(epoch from clock_timestamp() - task.run_at)), 3), coalesce(to_json(task.trace)::text, 'null'), task.payload), ',') || ']',
      apart
    from task where task.id = any(taken);
end $$;

-- Cancels a task that is in a bundle: takes it out, as its worker would, and marks it. False: it is in none, and gets into none before this
-- transaction has ended.
create function cancel_bundled(wanted bigint) returns boolean language plpgsql set search_path from current as $$
declare
  line record;
  holder uuid;
begin
  select task.kind, task.lane into line from task where task.id = wanted;
  if not found then
    return false;
  end if;
  perform pg_advisory_xact_lock_shared(line_key(line.kind, line.lane));
  update bundle set task_ids = array_remove(task_ids, wanted)
  where bundle.kind = line.kind and bundle.lane = line.lane and wanted = any(task_ids)
  returning worker_id into holder;
  if not found then
    return false;
  end if;
  update task set state = 'running', worker_id = holder, lease = lease + 1, attempts = attempts + 1, cancelled = true
  where id = wanted and worker_id is null;
  return found;
end $$;
