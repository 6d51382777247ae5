-- Leases tasks of one line one by one: see 0003. At most one of them, or none ("last_chance"), is on its last chance: it was lost before, and dies
-- with the next loss. Others are passed over, and the first of those at each priority is returned as well, as it is: ready. Whoever claimed looks there again when it
-- may have one.
drop function claim_singly;
create function claim_singly(
  claimer uuid, line_kind text, line_lane text, from_priority integer, from_position bigint, to_priority integer, slots integer,
  oldest_bundle bigint, last_chance text
) returns setof task language plpgsql set search_path from current as $$
declare
  taken bigint[];
  passed bigint[];
  chance boolean := last_chance = 'one';
  reached_priority integer;
  reached_position bigint;
  next record;
  -- What is passed over is not locked: another claim may be looking for it at this moment, and would not look again.
  candidates cursor (begin_priority integer, begin_position bigint, any_chance boolean) for
    select candidate.id, candidate.priority, candidate.position, candidate.losses > 0 and candidate.losses + candidate.crashes + 1 >= candidate.losses_allowed as last
    from task as candidate
    where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
      and (candidate.priority, candidate.position) >= (begin_priority, begin_position) and candidate.priority <= to_priority
      and candidate.id not in (
        select unnest(bundle.task_ids) from bundle
        where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle
          and (bundle.last_priority, bundle.last_position) >= (begin_priority, begin_position)
      )
      and (any_chance or not (candidate.losses > 0 and candidate.losses + candidate.crashes + 1 >= candidate.losses_allowed))
    order by candidate.priority, candidate.position
    for update of candidate skip locked;
begin
  perform pg_advisory_xact_lock_shared(line_key(line_kind, line_lane));
  if not exists (select from worker where worker.id = claimer and worker.gone_at is null) then
    return;
  end if;
  -- One by one, so that no more are locked than are taken: what is locked, others pass over.
  for next in candidates(from_priority, from_position, chance) loop
    taken := taken || next.id;
    reached_priority := next.priority;
    reached_position := next.position;
    chance := chance and not next.last;
    exit when next.last or cardinality(taken) >= slots;
  end loop;
  if last_chance = 'one' and not chance and cardinality(taken) < slots then
    for next in candidates(reached_priority, reached_position + 1, chance) loop
      taken := taken || next.id;
      reached_priority := next.priority;
      reached_position := next.position;
      exit when cardinality(taken) >= slots;
    end loop;
  end if;
  if not chance then
    passed := array(
      select distinct on (candidate.priority) candidate.id from task as candidate
      where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
        and (candidate.priority, candidate.position) >= (from_priority, from_position) and candidate.priority <= to_priority
        and (coalesce(cardinality(taken), 0) < slots or (candidate.priority, candidate.position) < (reached_priority, reached_position))
        and candidate.losses > 0 and candidate.losses + candidate.crashes + 1 >= candidate.losses_allowed
        and candidate.id <> all(coalesce(taken, '{}'))
      order by candidate.priority, candidate.position
    );
  end if;
  return query update task set state = 'running', worker_id = claimer, lease = lease + 1, attempts = attempts + 1, waits_as = null
    where id = any(taken) returning task.*;
  return query select * from task where id = any(passed);
end $$;
