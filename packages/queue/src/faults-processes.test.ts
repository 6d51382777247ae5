import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { queuesUnderTest, workerProcesses } from './queue-under-test.ts';
import { hold, poison, record } from './worker-under-test.ts';

/** Processes that are killed again and again under load, and one whose clock is wrong. */

async function setup() {
  const { pool, url, queue } = await queuesUnderTest();
  const worker = await workerProcesses({ pool, url });
  return { pool, queue, worker };
}

test('workers killed again and again under load: tasks in are tasks done and dead', { timeout: 180_000 }, async () => {
  const { pool, queue, worker } = await setup();
  const count = 20_000;
  const workers = [await worker(5), await worker(5)];
  await queue.enqueueMany(
    record,
    Array.from({ length: count }, () => ({ payload: { name: 'x' } })),
  );
  const ran = async () => {
    const { rows } = await pool.query<{ task: string }>('select distinct task from record where ended_at is not null');
    return new Set(rows.map(({ task }) => task));
  };
  await waitFor(async () => (await ran()).size > 100, { what: 'both workers to be busy' });
  const more = async (by: number) => {
    const wanted = Math.min(count, (await ran()).size + by);
    await waitFor(async () => (await ran()).size >= wanted, { what: `${by} more tasks`, seconds: 60 });
  };
  for (let kill = 0; kill < 4; kill++) {
    await more(1_500); // the pace of the kills
    const next = worker(5);
    await workers.shift()?.kill();
    workers.push(await next);
  }
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
    what: 'every task to be done or dead',
    seconds: 90,
  });
  const done = await ran();
  const dead = await queue.dead({ limit: count });
  for (const { cause } of dead) expect(cause).toBe('lost');
  // One that was lost after its work, as often as its kind allows, is in both.
  expect(done.union(new Set(dead.map(({ id }) => id))).size).toBe(count);
});

test.for(['no key', 'a key each'] as const)(
  'a task that takes its process down does not take those beside it along to the dead letters (tasks with %s)',
  async (keys) => {
    const { pool, queue, worker } = await setup();
    const key = (name: string) => (keys === 'no key' ? {} : { key: name });
    for (const name of ['one', 'two', 'three']) await queue.enqueue(hold, { name }, key(name));
    const guilty = await queue.enqueue(poison, null, key('poison'));
    // Twice it takes them along; all four die with the next loss.
    for (let death = 1; death <= 2; death++) await (await worker(60).catch(() => null))?.exited;
    const { rows } = await pool.query('select losses from slipway_queue.task');
    expect(rows.map(({ losses }) => Number(losses))).toEqual([1, 1, 1, 1]); // the second loss is seen by the next worker
    // If it comes first, the one that holds tasks is the fourth.
    const outputs: (() => string)[] = [];
    const untilHeld = async (): Promise<void> => {
      const child = await worker(60).catch(() => null);
      if (child !== null) outputs.push(() => child.output());
      const held = await child?.waitForOutput(/holds/).then(
        () => 'yes',
        () => 'no',
      );
      if (held !== 'yes') await untilHeld();
    };
    await untilHeld();
    // Others run beside the one, and none that the next loss kills.
    await queue.enqueueMany(
      record,
      Array.from({ length: 20 }, (_, n) => ({ payload: { name: 'fresh' }, ...key(`fresh ${n}`) })),
    );
    await waitFor(async () => (await pool.query('select from record where ended_at is not null')).rowCount === 20, {
      what: 'fresh tasks to be done',
    });
    expect(outputs.at(-1)?.().match(/holds/g)).toHaveLength(1);
    await pool.query(`insert into release values ('one'), ('two'), ('three')`);
    // It can take one more along.
    for (let n = 0; n < 2; n++) await worker(60).catch(() => null);
    await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
      what: 'every task to be done or dead',
    });
    expect(await queue.dead({ limit: 10 })).toMatchObject([{ id: guilty, cause: 'lost', losses: 3 }]);
  },
);

test.for(['killed', 'stopped'] as const)(
  'tasks that a worker claimed in advance go back when it is %s',
  async (how) => {
    const { pool, queue, worker } = await setup();
    await pool.query(`insert into release values ('short')`);
    const first = await worker(60, { concurrency: 2 });
    const lines = (child: typeof first, text: string) => child.output().split(text).length - 1;
    const many = (name: string, count: number) =>
      queue.enqueueMany(
        hold,
        Array.from({ length: count }, () => ({ payload: { name } })),
      );
    // So short that the next ones are claimed in advance.
    await many('short', 300);
    await waitFor(() => lines(first, 'releases short') === 300, { what: 'short tasks to end', seconds: 20 });
    await many('long', 40);
    await waitFor(() => lines(first, 'holds long') === 2, { what: 'two long tasks to run' });
    await waitFor(async () => ((await queue.counts())['hold']?.running ?? 0) > 2, {
      what: 'tasks to be claimed in advance',
    });
    if (how === 'killed') await first.kill();
    else {
      first.signal('SIGTERM');
      await first.exited;
      expect((await pool.query('select from slipway_queue.bundle')).rowCount).toBe(0);
      // As if they had never been claimed, but for the two that had begun.
      const { rows } = await pool.query(
        `select state, attempts, interruptions, losses, count(*)::int as tasks from slipway_queue.task group by 1, 2, 3, 4 order by 2`,
      );
      expect(rows).toEqual([
        { state: 'ready', attempts: 0, interruptions: 0, losses: 0, tasks: 38 },
        { state: 'ready', attempts: 1, interruptions: 1, losses: 0, tasks: 2 },
      ]);
    }
    await pool.query(`insert into release values ('long')`);
    const second = await worker(60, { concurrency: 2 });
    await waitFor(() => lines(second, 'releases long') === 40, { what: 'long tasks to end', seconds: 20 });
    await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, { what: 'the end' });
    expect(await queue.dead({ limit: 1 })).toEqual([]);
  },
);

test('two processes at each tick of a schedule, one with its clock an hour off: one task a tick', async () => {
  const { pool, queue, worker } = await setup();
  const workers = [await worker(5), await worker(5, { clock: 'an hour ahead' })];
  await queue.cron({ name: 'tick', schedule: '* * * * * *', kind: record, payload: { name: 'x' } });
  await waitFor(async () => ((await pool.query('select from record')).rowCount ?? 0) >= 5, { what: 'five ticks' });
  await queue.uncron('tick');
  const { rows } = await pool.query<{ added: number; gaps: number[] }>(
    `select (select last_value::int from slipway_queue.task_id_seq) as added,
       array_agg(gap::float8) as gaps from (select extract(epoch from began_at - lag(began_at) over (order by began_at)) as gap from record) as run where gap is not null`,
  );
  const ticks = (await pool.query('select from record')).rowCount;
  expect(rows[0]?.added).toBe(ticks);
  // Neither two in one second nor a second without one; some slack for a busy machine.
  for (const gap of rows[0]?.gaps ?? []) expect(Math.abs(gap - 1)).toBeLessThan(0.8);
  for (const child of workers) expect(child.output()).not.toMatch(/"event":"failed"/);
});

test('a worker whose clock is an hour ahead takes nothing from others, and delays last as long as they should', async () => {
  const { pool, queue, worker } = await setup();
  const right = await worker(1);
  await queue.enqueue(hold, { name: 'x' });
  await right.waitForOutput(/holds x attempt 1/);
  const ahead = await worker(1, { clock: 'an hour ahead' });
  await right.kill();
  // The right one is gone for sure; the wrong one takes its task, and keeps it beside another right one.
  await ahead.waitForOutput(/holds x attempt 2/);
  const other = await worker(1);
  await queue.enqueue(record, { name: 'soon' }, { delaySeconds: 2 });
  await queue.enqueue(record, { name: 'later' }, { delaySeconds: 600 });
  // Its record is there before its end is written.
  await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 2, { what: 'the delay' });
  const { rows } = await pool.query('select kind, state, attempts, losses from slipway_queue.task order by id');
  expect(rows).toEqual([
    { kind: 'hold', state: 'running', attempts: 2, losses: 1 },
    { kind: 'record', state: 'scheduled', attempts: 0, losses: 0 },
  ]);
  expect(ahead.output() + other.output()).not.toMatch(/lease-lost|"late"/);
});
