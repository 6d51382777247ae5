import type { Names } from './names.ts';

/**
 * Parts of a statement in which tasks end for good: they count in their batches, and the task that waits for the last of a
 * batch becomes ready. The rows of batches are locked in the order of their ids, so that two such statements never wait for
 * each other.
 *
 * The closing task of a batch carries its number, too, and does not count.
 *
 * @param relation a CTE that has `id, batch_id` of the tasks that ended.
 * @param outcome an expression over its row `member`: 'done', 'dead' or 'cancelled'.
 * @param result an expression over its row `member`, of type json.
 * @returns CTEs, the last of which is `fanned (kind, lane, key, priority, position)`.
 */
export function endInBatch(names: Names, relation: string, outcome: string, result = 'null::json'): string {
  return `ended_member as (
      select member.id, batch_id, ${outcome} as outcome, ${result} as result
      from ${relation} as member join ${names.batch} as batch on batch.id = member.batch_id and batch.fan_in <> member.id
    ), of_batch as (
      select batch_id, count(*)::int as members from ended_member group by batch_id
    ), locked_batch as (
      select batch.id, members from ${names.batch} as batch join of_batch on batch.id = of_batch.batch_id order by batch.id for update of batch
    ), counted_batch as (
      update ${names.batch} as batch set open = open - members from locked_batch where batch.id = locked_batch.id
      returning batch.fan_in, batch.open
    ), noted as (
      insert into ${names.batchResult} (batch_id, task_id, outcome, result)
      select batch_id, id, outcome, result from ended_member
    ), fanned as (
      update ${names.task} as task set state = 'ready', run_at = clock_timestamp(), position = nextval(${names.position})
      where id in (select fan_in from counted_batch where open = 0) and state = 'blocked'
      returning kind, lane, key, priority, position
    )`;
}
