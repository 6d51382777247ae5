import { testDatabase, waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { connectPool } from './pool.ts';
import type { QueueEvent } from './events.ts';
import { HolderWatch } from './holder-watch.ts';

test('names the session that keeps PostgreSQL from cleaning up, once, and only while tasks flow', async () => {
  const { pool, url } = await testDatabase();
  const events: QueueEvent[] = [];
  const watch = new HolderWatch({ seconds: 0.2, emit: (event) => events.push(event) });
  const reports = connectPool(url, { name: 'reports' });
  const client = await reports.connect();
  await client.query('begin isolation level repeatable read');
  await client.query('select count(*), 1 as "the nightly report" from pg_class');
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const look = async () => {
    watch.taskEnded();
    await watch.look(pool);
  };
  await waitFor(async () => (await look(), events.length > 0), { what: 'the event' });
  expect(events[0]).toMatchObject({
    event: 'transaction-held',
    session: rows[0]?.pid,
    application: 'reports',
    query: 'select pg_backend_pid() as pid',
  });
  await look();
  expect(events).toHaveLength(1);

  await client.query('commit');
  await client.query('begin isolation level repeatable read');
  await client.query('select 2');
  // Nothing has ended since: nobody looks.
  await waitFor(
    async () =>
      (
        await pool.query(
          `select from pg_stat_activity where pid = $1 and xact_start < clock_timestamp() - interval '0.3 s'`,
          [rows[0]?.pid],
        )
      ).rowCount === 1,
    { what: 'the second transaction to be old' },
  );
  await watch.look(pool);
  expect(events).toHaveLength(1);
  await look();
  expect(events).toHaveLength(2);
  expect(events[1]).toMatchObject({ session: rows[0]?.pid, query: 'select 2' });
  await client.query('commit');
  client.release();
  await reports.end();
});
