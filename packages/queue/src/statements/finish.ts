import { endInBatch } from './batch.ts';
import { type Database, type Names } from './names.ts';
import { tellReady, waitingFor } from './tell.ts';

export interface Held {
  id: string;
  lease: string;
}

/** A task of which its worker says that it is done. */
export interface Ended extends Held {
  worker: string;
}

/** A task that is done, and what is to be kept of it: JSON texts. */
export interface Done extends Ended {
  result: string | null;
  output: string | null;
  /** `none`: it has no key, is in no batch, and its result is not kept. */
  effects: 'none' | 'some';
}

/** `done`: the task is finished. `late`: it was taken from this worker before; another attempt decides. */
export type Verdict = 'done' | 'late';

/** Tells the verdict by task id. */
export type Verdicts = (id: string) => Verdict;

/** Of most statements: every end counted. */
export const allDone: Verdicts = () => 'done';

/**
 * Deletes tasks that were done, each only under the lease it was done with; keeps the results of kinds that want it; tells
 * who waits for their keys.
 *
 * Matches `id + lease` and nothing else: with `state = 'running'` beside it the planner may choose the small partial index,
 * whose statistics are always stale, and the statement becomes ten times slower.
 *
 * @param certainty `repeated`: the same statement was sent before and its answer got lost. See {@link verdictsOf}.
 */
export async function finishTasks(
  db: Database,
  names: Names,
  held: readonly Done[],
  certainty: 'first' | 'repeated',
): Promise<Verdicts> {
  const finished = held.every(isPlain) ? await deletePlain(db, names, held) : await deleteAndTell(db, names, held);
  return verdictsOf(db, names, held, finished, certainty);
}

/**
 * Tells which ends counted, after a statement that finished some of them. An earlier try may have finished a task that this one did not
 * find any more. That is believed only while the worker it was leased to has not been given up: else another attempt may have finished it.
 */
export async function verdictsOf(
  db: Database,
  names: Names,
  ended: readonly Ended[],
  finished: ReadonlySet<string>,
  certainty: 'first' | 'repeated',
): Promise<Verdicts> {
  const rest = certainty === 'first' ? [] : ended.filter(({ id }) => !finished.has(id));
  const before = rest.length === 0 ? finished : await finishedBefore(db, names, rest);
  return (id) => (finished.has(id) || before.has(id) ? 'done' : 'late');
}

/** Of these tasks those that are not there any more, though nobody but the worker itself could have ended them until now. */
async function finishedBefore(db: Database, names: Names, ended: readonly Ended[]): Promise<Set<string>> {
  const { rows } = await db.query(
    `select array_agg(ended.id::text) as finished from unnest($1::bigint[], $2::uuid[]) as ended (id, worker_id)
     where not exists (select from ${names.task} as task where task.id = ended.id)
       and exists (select from ${names.worker} as worker where worker.id = ended.worker_id and worker.gone_at is null)`,
    [ended.map(({ id }) => id), ended.map(({ worker }) => worker)],
  );
  return new Set(texts(rows[0]?.['finished']));
}

/** Nobody waits for its end, and nothing is kept of it. */
function isPlain({ effects }: Done): boolean {
  return effects === 'none';
}

/** What most tasks need, at half the price. */
async function deletePlain(db: Database, names: Names, held: readonly Done[]): Promise<Set<string>> {
  const { rows } = await db.query(
    `with finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[]) as held (id, lease)
       where task.id = held.id and task.lease = held.lease
       returning task.id
     )
     select array_agg(id::text) as finished from finished`,
    [held.map(({ id }) => id), held.map(({ lease }) => lease)],
  );
  return new Set(texts(rows[0]?.['finished']));
}

async function deleteAndTell(db: Database, names: Names, held: readonly Done[]): Promise<Set<string>> {
  const { rows } = await db.query(
    `with finished as (
       delete from ${names.task} as task using unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as held (id, lease, result, output)
       where task.id = held.id and task.lease = held.lease
       returning task.id, kind, lane, key, attempts, created_at, batch_id, keep_seconds, held.result::json as result, held.output::json as output
     ), kept as (
       insert into ${names.done} (id, kind, lane, key, attempts, result, output, created_at, expires_at)
       select id, kind, lane, key, attempts, result, output, created_at, clock_timestamp() + keep_seconds * interval '1 second'
       from finished where keep_seconds > 0
     ), ${endInBatch(names, 'finished', `'done'`, 'member.result')}, freed as (
       ${waitingFor(names.task, 'select key from finished')}
     ), told as (
       ${tellReady('(table fanned union all table freed)', '$5')}
     )
     select (select array_agg(id::text) from finished) as finished, (select told from told) as told`,
    [
      held.map(({ id }) => id),
      held.map(({ lease }) => lease),
      held.map(({ result }) => result),
      held.map(({ output }) => output),
      names.channel,
    ],
  );
  return new Set(texts(rows[0]?.['finished']));
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
