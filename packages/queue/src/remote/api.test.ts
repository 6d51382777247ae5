import path from 'node:path';
import { freePort, startProcess, temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { ApiRefused, Queue, type QueueEvent, RemoteQueue } from '../index.ts';
import { queuesUnderTest } from '../queue-under-test.ts';
import { kinds, serve } from './api-under-test.ts';
import { servedQueue } from './served-queue-under-test.ts';

async function setup() {
  const served = await servedQueue();
  const { url } = served;
  const ask = async (method: string, address: string, body?: unknown, token = 'shop') => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${url}${address}`, { method, headers, ...(text !== undefined && { body: text }) });
    const answer = await response.text();
    return { status: response.status, answer, json: () => JSON.parse(answer) };
  };
  return { ...served, ask };
}

test('adds tasks one by one and many at once, lists and shows them', async () => {
  const { ask } = await setup();
  const one = await ask('POST', '/tasks/shop/note', { payload: { n: 1 }, delaySeconds: 60, unique: 'x' });
  expect(one.status).toBe(201);
  const [id] = one.json().ids;
  const many = await ask('POST', '/tasks/shop/note', { tasks: [{ payload: { n: 2 } }, { payload: { n: 3 } }] });
  expect(many.json().ids).toHaveLength(2);
  expect((await ask('GET', `/tasks/${id}`)).json()).toMatchObject({ id, kind: 'shop/note', state: 'scheduled' });
  const ready = (await ask('GET', '/tasks?state=ready&limit=1')).json().tasks;
  expect(ready).toMatchObject([{ id: many.json().ids[0], state: 'ready' }]);
  expect((await ask('GET', `/tasks?after=${ready[0].id}`)).json().tasks).toHaveLength(1);
  expect((await ask('GET', '/counts')).json().counts['shop/note']).toMatchObject({ ready: 2, scheduled: 1 });
  expect((await ask('DELETE', `/tasks/${id}`)).status).toBe(200);
  expect((await ask('GET', `/tasks/${id}`)).status).toBe(404);
});

test('says what is wrong with a request, and changes nothing', async () => {
  const { ask, pool } = await setup();
  const cases: [string, string, unknown, number, RegExp][] = [
    ['POST', '/tasks/shop/note', { payload: { n: 'x' } }, 400, /n: .*expected number/],
    ['POST', '/tasks/shop/note', '{', 400, /not JSON/],
    ['POST', '/tasks/shop/note', { payload: { n: 1 }, prio: 1 }, 400, /prio/],
    ['POST', '/tasks/shop/note', { tasks: [{ payload: { n: 1 } }, { payload: null }] }, 400, /expected object/],
    ['POST', '/tasks/shop/nott', { payload: { n: 1 } }, 404, /Did you mean 'shop\/note'/],
    ['PATCH', '/tasks/1', undefined, 405, /GET, DELETE|DELETE, GET|It takes/],
    ['GET', '/nothing', undefined, 404, /no \/nothing/],
    ['GET', '/%zz', undefined, 400, /hexadecimal/],
    ['GET', '/tasks?limit=9999', undefined, 400, /limit/],
    ['POST', '/tasks/1/retry', undefined, 404, /no task 1/],
    ['POST', '/workers/7/beat', { running: [] }, 404, /no worker/],
    ['POST', '/tasks/shop/note', `"${'x'.repeat(17 * 1024 * 1024)}"`, 413, /longer than/],
  ];
  for (const [method, address, body, status, message] of cases) {
    const answer = await ask(method, address, body);
    expect([address, answer.status]).toEqual([address, status]);
    expect(answer.answer).toMatch(message);
    expect(Object.keys(answer.json().error)).toEqual(['code', 'message', 'hint']);
  }
  expect((await pool.query('select from slipway_queue.task')).rowCount).toBe(0);
});

test('shows and touches nothing beyond the scope', async () => {
  const { ask, queue } = await setup();
  const id = await queue.enqueue(kinds.other, { secret: 'x' });
  const file = (await ask('PUT', '/files/a.txt', 'secret', 'other')).json().key;
  expect((await ask('GET', `/files/${file}`, undefined, 'other')).answer).toBe('secret');
  for (const [method, address, body] of [
    ['GET', `/tasks/${id}`],
    ['DELETE', `/tasks/${id}`],
    ['POST', `/tasks/${id}/retry`],
    ['POST', '/tasks/other/note', { payload: 1 }],
    ['GET', '/tasks?kind=other/note'],
    ['GET', `/files/${file}`],
    ['GET', `/files/input/shop/../other/${file.split('/').slice(2).join('/')}`],
    ['POST', '/tasks/shop/render', { payload: 1, files: [{ name: 'a', key: file }] }],
  ] as const) {
    expect([address, (await ask(method, address, body)).status]).toEqual([address, 404]);
  }
  expect((await ask('GET', '/tasks')).json().tasks).toEqual([]);
  expect((await ask('GET', '/counts')).json()).toEqual({ counts: {} });

  const { workerId } = (await ask('POST', '/workers', {})).json();
  const wanted = [{ kind: 'other/note', lane: 'normal', limit: 1 }];
  expect((await ask('POST', `/workers/${workerId}/claim`, { wanted, waitSeconds: 0, known: null })).status).toBe(404);
  // A worker of the other scope runs it; the first one knows its id and its lease.
  const other = (await ask('POST', '/workers', {}, 'other')).json().workerId;
  const claim = await ask('POST', `/workers/${other}/claim`, { wanted, waitSeconds: 5, known: null }, 'other');
  expect(claim.json().tasks).toMatchObject([{ id, lease: '1' }]);
  const end = { id, lease: '1', outcome: { kind: 'done' }, usage: null, busySeconds: 0, certainty: 'first' };
  for (const worker of [workerId, other]) {
    const settled = (await ask('POST', `/workers/${worker}/settle`, { ends: [end] })).json().settled;
    expect(settled).toEqual([{ id, verdict: 'late' }]);
    expect((await ask('PUT', `/workers/${worker}/files/output/${id}/1-1/x`, 'x')).status).toBe(409);
  }
  expect((await queue.counts())['other/note']?.running).toBe(1);
});

test('an end that is sent again changes nothing, and what an attempt of a stale lease left is never published', async () => {
  const { ask, queue, pool, objects } = await setup();
  const id = await queue.enqueue(kinds.render, {});
  const { workerId } = (await ask('POST', '/workers', {})).json();
  const wanted = [{ kind: 'shop/render', lane: 'normal', limit: 1 }];
  const claim = async () =>
    (await ask('POST', `/workers/${workerId}/claim`, { wanted, waitSeconds: 5, known: null })).json().tasks[0];
  const first = await claim();
  const put = (lease: string, attempt: number) =>
    ask('PUT', `/workers/${workerId}/files/output/${id}/${attempt}-${lease}/a`, `by ${lease}`);
  const stale = (await put(first.lease, 1)).json();
  await ask('POST', `/workers/${workerId}/unclaim`, { tasks: [{ id, lease: first.lease }] });
  const second = await claim();
  expect(second.lease).not.toBe(first.lease);
  expect((await put(first.lease, 1)).status).toBe(409);
  const written = (await put(second.lease, 1)).json();
  const settle = async (lease: string, file: unknown, certainty = 'first') => {
    const outcome = { kind: 'done', result: 1, output: { files: [file] } };
    const ends = [{ id, lease, outcome, usage: null, busySeconds: 0, certainty }];
    return (await ask('POST', `/workers/${workerId}/settle`, { ends })).json().settled[0].verdict;
  };
  expect((await ask('GET', `/files/${written.key}`)).status).toBe(404); // not before the end
  expect(await settle(first.lease, stale)).toBe('late');
  expect(await settle(second.lease, written)).toBe('done');
  expect(await settle(second.lease, written, 'repeated')).toBe('done');
  expect((await pool.query('select from slipway_queue.done_task')).rowCount).toBe(1);
  expect((await ask('GET', `/files/${written.key}`)).answer).toBe(`by ${second.lease}`);
  expect((await ask('GET', `/files/${stale.key}`)).status).toBe(404);
  const garbage = await objects.get(stale.key); // for the collector
  expect(garbage).not.toBeNull();
  garbage?.destroy();
});

test('a worker may hold as many tasks as it claims ahead and has not told the ends of', async () => {
  const { ask } = await setup();
  const { workerId } = (await ask('POST', '/workers', {})).json();
  const running = Array.from({ length: 15_000 }, (_, n) => String(10 ** 15 + n));
  expect((await ask('POST', `/workers/${workerId}/beat`, { running })).json()).toMatchObject({ lease: 'held' });
  const claim = { wanted: [], waitSeconds: 0, known: running, running };
  expect((await ask('POST', `/workers/${workerId}/claim`, claim)).json()).toMatchObject({ tasks: [] });
});

test('a claim that waits ends when there is something, and when its worker claims anew', async () => {
  const { ask, queue } = await setup();
  const { workerId } = (await ask('POST', '/workers', {})).json();
  const claim = (waitSeconds: number) =>
    ask('POST', `/workers/${workerId}/claim`, {
      wanted: [{ kind: 'shop/render', lane: 'normal', limit: 1 }],
      waitSeconds,
      known: null,
    });
  const begin = performance.now();
  const waiting = claim(30);
  expect((await claim(0)).json()).toMatchObject({ tasks: [] });
  expect((await waiting).json()).toMatchObject({ tasks: [] });
  const next = claim(30);
  const id = await queue.enqueue(kinds.render, {});
  expect((await next).json().tasks).toMatchObject([{ id }]);
  expect(performance.now() - begin).toBeLessThan(10_000);
});

test('a payload of more than 64 KiB is in the object store, and comes whole to workers on both ways', async () => {
  const { queue, pool, url, objects } = await setup();
  const big = 'ä'.repeat(100_000);
  const remote = new RemoteQueue({ url, token: 'shop' });
  onTestFinished(() => remote.stop({ graceSeconds: 0 }));
  const seen: unknown[] = [];
  await remote.enqueue(kinds.render, { big });
  const { rows } = await pool.query('select payload from slipway_queue.task');
  expect(Object.keys(rows[0].payload)).toEqual(['$object', 'bytes', 'sha256']);
  remote.work(kinds.render, async (payload) => void seen.push(payload));
  await remote.start();
  await waitFor(() => seen.length === 1, { what: 'the task over HTTP' });
  await remote.stop();
  queue.work(kinds.render, async (payload) => void seen.push(payload));
  await queue.enqueue(kinds.render, { big });
  await waitFor(() => seen.length === 2, { what: 'the task from PostgreSQL' });
  expect(seen).toEqual([{ big }, { big }]);
  // Gone for good: not tried again.
  const id = await queue.enqueue(kinds.render, { big: `${big}!` }, { delaySeconds: 600 });
  const { rows: waiting } = await pool.query('select payload from slipway_queue.task where id = $1', [id]);
  await objects.delete([waiting[0].payload.$object]);
  await pool.query('update slipway_queue.task set run_at = clock_timestamp()');
  await queue.enqueue(kinds.count, { n: 1 }, { delaySeconds: 0.01 }); // wakes the look at what is due
  await waitFor(async () => (await queue.dead({ limit: 1 })).length === 1, { what: 'the dead letter' });
  expect(await queue.dead({ limit: 1 })).toMatchObject([{ id, cause: 'input-missing', failures: 0 }]);
});

test('says clearly why a worker can not start', async () => {
  const { url } = await setup();
  await expect(new RemoteQueue({ url, token: 'wrong' }).start()).rejects.toThrow(/does not accept the token/);
  await expect(new RemoteQueue({ url: `${url}/x`, token: 'shop' }).start()).rejects.toThrow(ApiRefused);
  const port = await freePort();
  await expect(new RemoteQueue({ url: `http://127.0.0.1:${port}`, token: 'shop' }).start()).rejects.toThrow(
    /can't be reached/,
  );
  expect(() => new RemoteQueue({ url: 'ftp://x', token: '' })).toThrow(/expected http/);
});

test(
  'nothing is lost and nothing counts twice when the server is killed under load, again and again',
  { timeout: 120_000 },
  async () => {
    const { pool, url: database } = await testDatabase();
    await new Queue({ pool }).migrate();
    await pool.query('create table ran (n int)');
    const folder = await temporaryFolder();
    const port = await freePort();
    const file = path.join(import.meta.dirname, 'api-under-test.ts');
    const start = async () => {
      const child = startProcess(process.execPath, [file, database, '3', String(port), folder]);
      await child.waitForOutput(/listens on/);
      return child;
    };
    let server = await start();
    const events: QueueEvent[] = [];
    const done = new Map<string, number>();
    const onEvent = (event: QueueEvent) => {
      events.push(event);
      if (event.event === 'done') done.set(event.taskId, (done.get(event.taskId) ?? 0) + 1);
    };
    const workers = [1, 2].map(() => new RemoteQueue({ url: `http://127.0.0.1:${port}/api`, token: 'shop', onEvent }));
    for (const worker of workers) {
      onTestFinished(() => worker.stop({ graceSeconds: 0 }));
      worker.work(
        kinds.count,
        async ({ n }) => {
          await pool.query('insert into ran values ($1)', [n]);
          if (n % 50 === 7) throw new Error('it never works');
        },
        { concurrency: 8 },
      );
      await worker.start();
    }
    const producer = new Queue({ pool });
    const tasks = Array.from({ length: 1_000 }, (_, n) => ({ payload: { n } }));
    await producer.enqueueMany(kinds.count, tasks);
    const ended = async () =>
      (await pool.query<{ left: number }>('select count(*)::int as left from slipway_queue.task')).rows[0]?.left ?? 0;
    for (const left of [800, 550, 300]) {
      await waitFor(async () => (await ended()) < left, { what: `fewer than ${left} tasks`, seconds: 40 });
      await server.kill();
      server = await start();
    }
    await waitFor(async () => (await ended()) === 0, { what: 'every task to end', seconds: 60 });
    const dead = await pool.query('select count(*)::int as dead from slipway_queue.dead_task');
    const ran = await pool.query('select count(distinct n)::int as ran from ran');
    expect(dead.rows).toEqual([{ dead: 20 }]);
    expect(ran.rows).toEqual([{ ran: 1_000 }]);
    await waitFor(() => done.size >= 970, { what: 'the workers to hear of their ends' });
    expect([...done.values()].filter((times) => times > 1)).toEqual([]);
    expect(events.filter(({ event }) => event === 'failed')).toEqual([]);
    expect(events.some(({ event }) => event === 'disconnected')).toBe(true);
  },
);

test('a queue that was never started closes what its API has opened when it stops', async () => {
  const { pool, queue } = await queuesUnderTest();
  const { url, server } = await serve(queue, await temporaryFolder(), 0);
  onTestFinished(() => void server.close());
  const answer = await fetch(`${url}/workers`, { method: 'POST', headers: { authorization: 'Bearer shop' } });
  expect(answer.status).toBe(201);
  const listening = async () =>
    (await pool.query(`select from pg_stat_activity where datname = current_database() and query like '%; listen "%'`))
      .rowCount;
  // The one that asks names it as well.
  expect(await listening()).toBe(2);
  await queue.stop();
  await waitFor(async () => (await listening()) === 1, { what: 'the end of its connection' });
});
