import { temporaryFolder, waitFor } from '@slipway/testing';
import type { Pool } from 'pg';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { CronClock, type CronClockOptions } from './cron-clock.ts';
import { taskKind } from './index.ts';
import { folderStore } from './objects/index.ts';
import { queuesUnderTest, workerProcesses } from './queue-under-test.ts';
import { nextTime } from './schedule.ts';
import { namesIn } from './statements/names.ts';
import { record } from './worker-under-test.ts';

const note = taskKind({ name: 'note', payload: z.object({ text: z.string() }), retries: 0 });

test('several queues add one task at each tick', async () => {
  const { queue, another, pool, events } = await queuesUnderTest();
  const queues = [queue, another(), another()];
  const at: number[] = [];
  for (const one of queues) {
    one.work(note, async () => void at.push(Date.now()));
    await one.start();
  }
  await Promise.all(
    queues.map((one) => one.cron({ name: 'tick', schedule: '* * * * * *', kind: note, payload: { text: 'x' } })),
  );
  await waitFor(() => at.length >= 4, { what: 'four ticks' });
  expect(await queue.uncron('tick')).toBe(true);
  expect(await queue.uncron('tick')).toBe(false);
  const { rows } = await pool.query<{ last: string }>('select last_value::text as last from slipway_queue.task_id_seq');
  expect(Number(rows[0]?.last)).toBe(at.length);
  // One in each second: neither two in one, nor none.
  for (const [index, time] of at.entries()) {
    expect(Math.abs(time - (at[0] ?? 0) - index * 1_000)).toBeLessThan(900);
  }
  expect(events.filter(({ event }) => event === 'failed')).toEqual([]);
});

/** A clock over a pool. `beforeTaking` runs when it has seen a tick that is due, and has not yet taken it. */
function clockOn(pool: Pool, added: string[], beforeTaking: () => Promise<void> = async () => undefined): CronClock {
  const db: CronClockOptions['db'] = {
    query: (text, values) => pool.query<Record<string, unknown>>(text, values),
    transaction: async (work) => {
      await beforeTaking();
      const client = await pool.connect();
      try {
        await client.query('begin');
        const value = await work({ query: (text, values) => client.query<Record<string, unknown>>(text, values) });
        await client.query('commit');
        return value;
      } finally {
        await client.query('rollback'); // nothing, after a commit
        client.release();
      }
    },
  };
  return new CronClock({ db, names: namesIn('slipway_queue'), onAdded: (kind) => added.push(kind) });
}

async function dueTick() {
  const { queue, pool } = await queuesUnderTest();
  await queue.cron({ name: 'nightly', schedule: '0 3 * * *', kind: note, payload: { text: 'x' } });
  await pool.query(`update slipway_queue.cron set next_at = now() - interval '1 minute'`);
  const tasks = async () => (await pool.query('select from slipway_queue.task')).rowCount;
  return { pool, tasks };
}

test('of schedulers that have all seen the same tick due, one takes it', async () => {
  const { pool, tasks } = await dueTick();
  const added: string[] = [];
  const schedulers = 4;
  const all = Promise.withResolvers<void>();
  let seen = 0;
  const together = async (): Promise<void> => {
    seen += 1;
    if (seen === schedulers) all.resolve();
    await all.promise;
  };
  await Promise.all(Array.from({ length: schedulers }, () => clockOn(pool, added, together).tick()));
  expect(seen).toBe(schedulers);
  expect(added).toEqual(['note']);
  expect(await tasks()).toBe(1);
});

test('a tick whose task could not be added is still to come', async () => {
  const { pool, tasks } = await dueTick();
  await pool.query(`
    create function refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
    create trigger refuse before insert on slipway_queue.task for each statement execute function refuse()`);
  const added: string[] = [];
  await expect(clockOn(pool, added).tick()).rejects.toThrow('not now');
  await pool.query('drop trigger refuse on slipway_queue.task');
  await clockOn(pool, added).tick();
  expect(added).toEqual(['note']);
  expect(await tasks()).toBe(1);
});

test('of ticks that nobody was there for, one is made up for; a changed schedule takes effect, an unchanged one keeps its next tick', async () => {
  const { queue, pool } = await queuesUnderTest();
  const seen: string[] = [];
  queue.work(note, async ({ text }) => void seen.push(text));
  const nightly = { name: 'nightly', schedule: '0 3 * * *', timezone: 'Europe/Vienna', kind: note } as const;
  await queue.cron({ ...nightly, payload: { text: 'first' } });
  const next = async () =>
    (
      await pool.query<{ at: string }>(
        `select to_char(next_at at time zone 'Europe/Vienna', 'HH24:MI') as at from slipway_queue.cron where next_at > now()`,
      )
    ).rows[0]?.at;
  expect(await next()).toBe('03:00');
  await pool.query(`update slipway_queue.cron set next_at = next_at - interval '5 days'`);
  await queue.cron({ ...nightly, payload: { text: 'second' } });
  expect(await next()).toBeUndefined();
  await queue.start();
  await waitFor(() => seen.length === 1, { what: 'the missed tick' });
  expect(await next()).toBe('03:00');
  await queue.cron({ ...nightly, schedule: '30 4 * * *', payload: { text: 'third' } });
  expect(await next()).toBe('04:30');
  expect(seen).toEqual(['second']);
});

test('a process whose clock is an hour off adds tasks when it is time by the clock of PostgreSQL', async () => {
  const { pool, url, queue } = await queuesUnderTest();
  const worker = await workerProcesses({ pool, url });
  await worker(60, { clock: 'an hour ahead' });
  await queue.cron({ name: 'tick', schedule: '* * * * * *', kind: record, payload: { name: 'x' } });
  await waitFor(async () => ((await pool.query('select from record')).rowCount ?? 0) >= 3, { what: 'three ticks' });
  await queue.uncron('tick');
  const { rows } = await pool.query<{ spread: number; runs: number }>(
    'select extract(epoch from max(began_at) - min(began_at))::float8 as spread, count(*)::int as runs from record',
  );
  expect(rows[0]?.spread).toBeGreaterThan((rows[0]?.runs ?? 0) - 1.9);
});

test('names the field of a schedule that can not be used', async () => {
  const { queue } = await queuesUnderTest();
  const cron = { name: 'x', schedule: '0 3 * * *', kind: note, payload: { text: 'x' } };
  await expect(queue.cron({ ...cron, schedule: '61 * * * *' })).rejects.toThrow(
    /cron 'x': schedule is '61 \* \* \* \*', expected five fields/,
  );
  await expect(queue.cron({ ...cron, schedule: '2030-01-01T00:00:00' })).rejects.toThrow(
    /schedule is '2030.*use 'runAt'/,
  );
  await expect(queue.cron({ ...cron, timezone: 'Mars/Base' })).rejects.toThrow(
    /timezone is 'Mars\/Base', expected a name/,
  );
  await expect(queue.cron({ ...cron, name: '' })).rejects.toThrow(/name is ''/);
  await expect(queue.cron({ ...cron, payload: JSON.parse('{}') })).rejects.toThrow(/expected string/);
});

test('daylight saving: a time in the gap is at its end, one that comes twice is once, what repeats goes on', () => {
  const times = (schedule: string, from: string, count: number) => {
    const list: string[] = [];
    for (let at = Date.parse(from); list.length < count;) {
      at = nextTime(schedule, 'Europe/Vienna', at) ?? Infinity;
      list.push(new Date(at).toISOString().slice(5, 16));
    }
    return list;
  };
  // On 29 March 2026 it is 03:00 after 01:59; on 25 October 02:00 after 02:59.
  expect(times('30 2 * * *', '2026-03-28T12:00Z', 2)).toEqual(['03-29T01:00', '03-30T00:30']);
  expect(times('30 2 * * *', '2026-10-24T12:00Z', 2)).toEqual(['10-25T00:30', '10-26T01:30']);
  expect(times('*/30 * * * *', '2026-10-25T00:00Z', 4)).toEqual([
    '10-25T00:30',
    '10-25T01:00',
    '10-25T01:30',
    '10-25T02:00',
  ]);
  expect(times('*/30 * * * *', '2026-03-29T00:00Z', 3)).toEqual(['03-29T00:30', '03-29T01:00', '03-29T01:30']);
});

test('a payload that would have to go into the object store is refused, and one that looks as if it were there', async () => {
  const { queue } = await queuesUnderTest({ objects: folderStore(await temporaryFolder()) });
  const any = taskKind({ name: 'any', payload: z.unknown() });
  const cron = { name: 'tick', schedule: '* * * * *', kind: any };
  const why = /^schedule tick: its payload is larger than 64 KiB as JSON, or has a field '\$object'/;
  await expect(queue.cron({ ...cron, payload: 'x'.repeat(70_000) })).rejects.toThrow(why);
  await expect(queue.cron({ ...cron, payload: { $object: 'payload/x' } })).rejects.toThrow(why);
  expect(await queue.uncron('tick')).toBe(false);
});
