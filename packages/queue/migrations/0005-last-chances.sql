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
  chances integer := 0;
  passed bigint[];
  passed_at integer;
  next record;
  candidates cursor for
    select candidate.id, candidate.priority, candidate.losses > 0 and candidate.losses + candidate.crashes + 1 >= candidate.losses_allowed as last from task as candidate
    where candidate.kind = line_kind and candidate.lane = line_lane and candidate.state = 'ready' and candidate.key is null
      and (candidate.priority, candidate.position) >= (from_priority, from_position) and candidate.priority <= to_priority
      and candidate.id not in (
        select unnest(bundle.task_ids) from bundle
        where bundle.kind = line_kind and bundle.lane = line_lane and bundle.id >= oldest_bundle
          and (bundle.last_priority, bundle.last_position) >= (from_priority, from_position)
      )
    order by candidate.priority, candidate.position
    for update of candidate skip locked;
begin
  perform pg_advisory_xact_lock_shared(line_key(line_kind, line_lane));
  if not exists (select from worker where worker.id = claimer and worker.gone_at is null) then
    return;
  end if;
  -- One by one, so that no more are locked than are looked at: what is locked, others pass over.
  for next in candidates loop
    if not next.last or last_chance = 'one' and chances = 0 then
      taken := taken || next.id;
      chances := chances + next.last::integer;
      exit when cardinality(taken) >= slots;
    elsif passed_at is distinct from next.priority then
      passed := passed || next.id;
      passed_at := next.priority;
    end if;
  end loop;
  return query update task set state = 'running', worker_id = claimer, lease = lease + 1, attempts = attempts + 1, waits_as = null
    where id = any(taken) returning task.*;
  return query select * from task where id = any(passed);
end $$;
