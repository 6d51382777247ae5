import { access, cp, readdir, readFile, utimes } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import type { ApiEvent, ApiQueue, ApiWhy } from './api/schemas.ts';
import { sampleApp, sampleYaml, SlipwayUnderTest } from './slipway-under-test.ts';

/** A service that tells where its queues are, so that a test can use them as an app would. */
const web = `
const http = require('node:http');
http.createServer((request, response) => {
  if (request.url === '/healthz') { response.end('ok'); return; }
  response.end(JSON.stringify({ url: process.env.SLIPWAY_QUEUE_URL, token: process.env.SLIPWAY_QUEUE_TOKEN }));
}).listen(process.env.PORT, '127.0.0.1');
`;

interface QueueOfApp {
  url: string;
  token: string;
}

async function queueOf(slipway: SlipwayUnderTest, host = 'staging.shop.localhost'): Promise<QueueOfApp> {
  return JSON.parse((await slipway.request(host)).body) as QueueOfApp;
}

async function call(
  { url, token }: QueueOfApp,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function enqueue(queue: QueueOfApp, worker: string, payloads: unknown[]): Promise<string[]> {
  const tasks = payloads.map((payload) => ({ payload }));
  const { body, status } = await call(queue, 'POST', `/tasks/${worker}`, { tasks });
  expect(body).toMatchObject({ ids: expect.any(Array) as string[] });
  expect(status).toBe(201);
  return (body as { ids: string[] }).ids;
}

async function queue(slipway: SlipwayUnderTest, worker = 'thumbnails'): Promise<ApiQueue> {
  return await slipway.api('GET', `/queues/shop/staging/${worker}`);
}

/** Waits until a queue is as `judge` wants it. */
async function until(
  slipway: SlipwayUnderTest,
  what: string,
  judge: (queue: ApiQueue) => boolean,
  seconds = 30,
): Promise<ApiQueue> {
  let last: ApiQueue | null = null;
  return await waitFor(
    async () => {
      last = await queue(slipway).catch(() => last);
      return last && judge(last) ? last : null;
    },
    { what, seconds },
  ).catch(async (error: unknown) => {
    const told = [slipway.server?.output(), slipway.agent?.output(), await logs(slipway)].join('\n---\n');
    throw new Error(`${String(error)}\nlast: ${JSON.stringify(last)}\n${told}`, { cause: error });
  });
}

async function logs(slipway: SlipwayUnderTest): Promise<string> {
  const response = await fetch(`${slipway.url}/api/apps/shop/environments/staging/logs`, {
    headers: { authorization: `Bearer ${slipway.token}` },
  });
  return await response.text();
}

const total = (found: ApiQueue, what: 'ready' | 'running' | 'scheduled' | 'slots'): number =>
  found.lanes.reduce((sum, lane) => sum + lane[what], 0);
const counted = (found: ApiQueue, what: keyof ApiQueue['lanes'][number]['counts']): number =>
  found.lanes.reduce((sum, lane) => sum + lane.counts[what], 0);

async function deployed(yaml: string, files: Record<string, string> = {}): Promise<SlipwayUnderTest> {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', {
    ...sampleApp('shop', { web, yaml: sampleYaml('shop', yaml) }),
    ...files,
  });
  await repository.push();
  await slipway.ready('shop', 'staging', await repository.head());
  return slipway;
}

test('tasks that a service enqueues over HTTP are done by a worker that is started for them', async () => {
  const slipway = await deployed(
    `workers:\n  thumbnails:\n    run: 'cp "$SLIPWAY_PAYLOAD" "$SLIPWAY_OUTPUT/copy.json"; echo "{\\"by\\": \\"$COLOR\\"}" > "$SLIPWAY_OUTPUT/result.json"'\n    stop: 2s\nconfig: { COLOR: red }\n`,
  );
  expect(await slipway.environment('shop', 'staging')).toMatchObject({
    workers: [{ name: 'thumbnails', ready: 0, desired: 0 }],
  });
  const app = await queueOf(slipway);
  const ids = await enqueue(app, 'thumbnails', [{ image: 'a.png' }, { image: 'b.png' }, { image: 'c.png' }]);
  const done = await until(slipway, 'three tasks to be done', (found) => counted(found, 'done') === 3);
  expect(total(done, 'slots')).toBeGreaterThan(0);
  const { body: task } = await call(app, 'GET', `/tasks/${ids[1]}`);
  expect(task).toMatchObject({ state: 'done', result: { by: 'red' } });
  const [events, described] = await Promise.all([slipway.events('shop'), slipway.api<unknown>('GET', '/apps')]);
  expect(events.map((event: ApiEvent) => event.kind)).toContain('worker.started');
  // The token is for the processes of the environment alone.
  const rowsOfPlans = await slipway.query(`select plan, generation from slipway.environment`);
  for (const shown of [events, described, rowsOfPlans, await slipway.query(`select * from slipway.event`)])
    expect(JSON.stringify(shown)).not.toContain(app.token);
  expect(slipway.server?.output()).not.toContain(app.token);
  expect(slipway.agent?.output()).not.toContain(app.token);
});

test('a task that runs out of memory in the normal lane is done in the fallback lane, by a size of its own', async () => {
  const slipway = await deployed(
    `workers:
  thumbnails:
    run: exec node hog.js
    normal: { memory: 150Mi, timeout: 20s }
    fallback: { memory: 1Gi, timeout: 30s }
`,
    {
      'hog.js': `
const fs = require('node:fs');
const { megabytes } = JSON.parse(fs.readFileSync(process.env.SLIPWAY_PAYLOAD, 'utf8'));
const held = Buffer.alloc(megabytes * 2 ** 20, 1);
// Long enough to be seen, whatever else this machine does.
setTimeout(() => fs.writeFileSync(process.env.SLIPWAY_OUTPUT + '/result.json', JSON.stringify({ held: held.length })), 400);`,
    },
  );
  const app = await queueOf(slipway);
  const [small, big] = await enqueue(app, 'thumbnails', [{ megabytes: 5 }, { megabytes: 300 }]);
  const found = await until(slipway, 'both tasks to be done', (one) => counted(one, 'done') === 2);
  const [normal, fallback] = found.lanes;
  expect(normal).toMatchObject({ lane: 'normal', counts: { done: 1, ooms: 1, escalated: 1 } });
  expect(fallback).toMatchObject({ lane: 'fallback', counts: { done: 1, dead: 0 }, size: { memoryBytes: 2 ** 30 } });
  expect((await call(app, 'GET', `/tasks/${small}`)).body).toMatchObject({ lane: 'normal', state: 'done' });
  expect((await call(app, 'GET', `/tasks/${big}`)).body).toMatchObject({ lane: 'fallback', state: 'done' });
});

test('whatever is killed in the middle, each task is done or dead in the end; with nothing to do no runner is left', async () => {
  const slipway = await deployed(
    `workers:\n  thumbnails: { run: 'sleep 0.1; grep -q poison "$SLIPWAY_PAYLOAD" && exit 65; exit 0', replicas: 0..4, drain: 2s, stop: 1s, retries: 1 }\n`,
  );
  const app = await queueOf(slipway);
  const count = 80;
  const payloads = Array.from({ length: count }, (_, index) => ({ kind: index % 10 === 0 ? 'poison' : 'good', index }));
  await enqueue(app, 'thumbnails', payloads);
  const enough = async (ended: number) =>
    await until(
      slipway,
      `${ended} tasks to have ended`,
      (one) => counted(one, 'done') + counted(one, 'dead') >= ended,
      60,
    );
  await enough(10);
  await slipway.server?.kill();
  await slipway.startServer();
  await enough(25);
  await slipway.agent?.kill();
  await slipway.startAgent();
  await enough(45);
  for (const pid of await runners(slipway)) process.kill(pid, 'SIGKILL');
  const last = await until(
    slipway,
    'all tasks to have ended',
    (one) => total(one, 'ready') + total(one, 'scheduled') + total(one, 'running') === 0,
    90,
  );
  // The last counts of a killed process may be missing; the tasks themselves are not.
  const rest = await slipway.query(`select
    (select count(*)::int from slipway_tasks.task) as left,
    (select count(*)::int from slipway_tasks.done_task) as done, (select count(*)::int from slipway_tasks.dead_task) as dead`);
  expect(rest).toEqual([{ left: 0, done: count * 0.9, dead: count * 0.1 }]);
  expect(last.dead).toBe(count * 0.1);

  const emptySince = `memory #> '{state,emptySince}'`;
  await waitFor(
    async () =>
      (await slipway.query(`select from slipway.worker_lane where lane = 'normal' and ${emptySince} <> 'null'`))
        .length === 1,
    { what: 'the scaler to see that nothing is left', seconds: 20 },
  );
  // A minute later. What is remembered of the lane survives the end of the control plane.
  await slipway.server?.kill();
  await slipway.query(`update slipway.worker_lane set memory = jsonb_set(memory, '{state,emptySince}', to_jsonb(
    extract(epoch from now()) - 61)) where ${emptySince} <> 'null'`);
  await slipway.startServer();
  const idle = await until(slipway, 'the lane to have no slots', (one) => total(one, 'slots') === 0);
  expect(idle.lanes[0]?.reason).toMatch(/^0: nothing to do for \d/);
  await waitFor(async () => (await runners(slipway)).length === 0, { what: 'the runner to end', seconds: 20 });
  await slipway.until('shop', 'staging', 'ready without a runner', (one) => one.state === 'ready');
  expect((await slipway.events('shop')).map(({ kind }) => kind)).toContain('worker.stopped');
}, 180_000);

test('a token opens the queues of its environment and no other; people use their own', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = `workers:\n  thumbnails: { run: 'true' }\nenvironments:\n  staging: { branch: main }\n  second: { branch: other }\n`;
  const files = sampleApp('shop', { web, yaml: sampleYaml('shop', yaml) });
  const repository = await slipway.repository('shop', files);
  await repository.push();
  await repository.push('main:other');
  for (const environment of ['staging', 'second']) await slipway.ready('shop', environment, await repository.head());
  const app = await queueOf(slipway);
  const other = { ...app, url: app.url.replace('/staging', '/second') };
  const [id] = await enqueue(app, 'thumbnails', [1]);
  expect(await call(other, 'GET', '/tasks')).toMatchObject({ status: 401, body: { error: { code: 'denied' } } });
  expect((await call(other, 'POST', '/tasks/thumbnails', { payload: 1 })).status).toBe(401);
  expect((await call({ ...app, url: app.url.replace('/staging', '/nowhere') }, 'GET', '/tasks')).status).toBe(401);
  const second = await queueOf(slipway, 'second.shop.localhost');
  expect(second.token).not.toBe(app.token);
  expect((await call(second, 'GET', `/tasks/${id}`)).status).toBe(404);
  expect((await call({ ...app, token: `${app.token}x` }, 'GET', '/tasks')).status).toBe(401);
  // No door to the rest of the control plane.
  await expect(slipway.api('GET', '/apps', undefined, app.token)).rejects.toThrow('401');
  const misspelt = await call(app, 'POST', '/tasks/thumbnail', { payload: 1 });
  expect(misspelt).toMatchObject({
    status: 404,
    body: { error: { hint: expect.stringContaining('thumbnails') as string } },
  });
  const viewer = await slipway.api<{ token: string }>('POST', '/tokens', { name: 'v', role: 'viewer' });
  expect((await call({ ...app, token: viewer.token }, 'GET', `/tasks/${id}`)).status).toBe(200);
  expect((await call({ ...app, token: viewer.token }, 'POST', '/tasks/thumbnails', { payload: 1 })).status).toBe(401);
  expect((await call({ ...app, token: slipway.token }, 'POST', '/tasks/thumbnails', { payload: 1 })).status).toBe(201);
});

test('a task wakes an environment that sleeps, and what it needs with it', async () => {
  const slipway = await deployed(
    `workers:\n  thumbnails: { run: 'sleep 2' }\nenvironments:\n  staging: { branch: main, sleep: 1s }\n`,
  );
  const app = await queueOf(slipway);
  await slipway.until('shop', 'staging', 'asleep', (one) => one.state === 'asleep');
  await enqueue(app, 'thumbnails', [1]);
  await slipway.until('shop', 'staging', 'awake', (one) => one.state !== 'asleep');
  // Two seconds of work are longer than it would have been awake without.
  await until(slipway, 'the task to be done', (one) => counted(one, 'done') === 1);
  expect((await slipway.environment('shop', 'staging')).state).toBe('ready');
});

test('a scheduled job runs at its time, with the release that serves, and tells how it ended', async () => {
  const slipway = await deployed(
    `jobs:\n  report: { run: 'echo report of $SLIPWAY_RELEASE; exit 3', schedule: '0 3 1 1 *' }\n`,
  );
  const named = `name like 'job:%:report'`;
  await waitFor(async () => (await slipway.query(`select from slipway_queue.cron where ${named}`)).length === 1, {
    what: 'the schedule',
    seconds: 20,
  });
  await slipway.query(
    `update slipway_queue.cron set next_at = clock_timestamp() where ${named}; notify slipway_queue_task, 'cron 0'`,
  );
  const failed = await waitFor(async () => (await slipway.events('shop')).find(({ kind }) => kind === 'job.failed'), {
    what: 'the end of the job',
    seconds: 20,
  });
  expect(failed.message).toMatch(/^staging: the scheduled job report failed after .* exit code 3/);
  expect(failed.data).toMatchObject({ job: 'report', lastLines: [expect.stringMatching(/^report of \d+$/)] });
});

test('every night, files that no task needs are deleted; those of a task that waits stay', async () => {
  const slipway = await deployed(`workers:\n  thumbnails: { run: 'true' }\n`);
  const app = await queueOf(slipway);
  const upload = async (name: string): Promise<{ key: string; file: string }> => {
    const headers = { authorization: `Bearer ${app.token}` };
    const response = await fetch(`${app.url}/files/${name}`, { method: 'PUT', headers, body: 'a file' });
    const { key } = (await response.json()) as { key: string };
    return { key, file: path.join(slipway.home, 'data', 'objects', key) };
  };
  const [named, orphan, young] = await Promise.all(['named', 'orphan', 'young'].map(upload));
  if (!named || !orphan || !young) throw new Error('nothing was uploaded');
  const task = { payload: 1, delaySeconds: 5_000, files: [{ name: 'named', key: named.key }] };
  expect((await call(app, 'POST', '/tasks/thumbnails', task)).status).toBe(201);
  const old = Date.now() / 1000 - 2 * 86_400;
  for (const { file } of [named, orphan]) await utimes(file, old, old);
  const [schedule] =
    await slipway.query(`update slipway_queue.cron set next_at = clock_timestamp() where name = 'collect-objects'
    returning kind, schedule, timezone`);
  expect(schedule).toEqual({ kind: 'collect-objects', schedule: '17 3 * * *', timezone: 'UTC' });
  await slipway.query(`notify slipway_queue_task, 'cron 0'`);
  const there = async ({ file }: { file: string }): Promise<boolean> =>
    await access(file).then(
      () => true,
      () => false,
    );
  await waitFor(async () => !(await there(orphan)), { what: 'the orphan to be deleted', seconds: 20 });
  await waitFor(() => slipway.server?.output().includes('any more were deleted: 1 (1 MiB)'), {
    what: 'the log',
    seconds: 5,
  });
  expect([await there(named), await there(young)]).toEqual([true, true]);
});

test('people see, add, cancel and retry tasks, and hear what happens to them', async () => {
  const slipway = await deployed(
    `workers:\n  thumbnails: { run: 'grep -q bad "$SLIPWAY_PAYLOAD" && exit 65; echo 7 > "$SLIPWAY_OUTPUT/result.json"', replicas: 0..2 }\n`,
  );
  const path = '/queues/shop/staging/thumbnails';
  expect(await slipway.api<ApiQueue[]>('GET', '/queues?app=shop')).toMatchObject([
    { name: 'thumbnails', environment: 'shop/staging', dead: 0, oldestSeconds: null },
  ]);
  const heard = await tail(slipway, path);
  const { ids } = await slipway.api<{ ids: string[] }>('POST', `${path}/tasks`, {
    tasks: [{ payload: 'good' }, { payload: 'bad' }, { payload: 'later', delaySeconds: 500 }],
  });
  const [good, bad, later] = ids;
  await until(slipway, 'one done, one dead', (one) => counted(one, 'done') === 1 && one.dead === 1);
  expect(await slipway.api('GET', `${path}/tasks/${good}`)).toMatchObject({ state: 'done', result: 7 });
  expect(await slipway.api('GET', `${path}/tasks?state=dead`)).toMatchObject({
    tasks: [{ id: bad, state: 'dead', cause: 'discarded', payload: 'bad' }],
  });
  await waitFor(() => heard().includes('task-done') && heard().includes('task-dead'), {
    what: 'the tail',
    seconds: 10,
  });
  expect(await slipway.api('DELETE', `${path}/tasks/${later}`)).toEqual({ cancelled: later });
  await expect(slipway.api('GET', `${path}/tasks/${later}`)).rejects.toThrow('404');
  await expect(slipway.api('POST', `${path}/tasks/${good}/retry`)).rejects.toThrow('is done');
  expect(await slipway.api('POST', `${path}/tasks/${bad}/retry`)).toEqual({ retried: 1 });
  await until(slipway, 'it to die again', (one) => counted(one, 'dead') === 2);
  expect(await slipway.api('POST', `${path}/retry`, { cause: 'lost' })).toEqual({ retried: 0 });
  expect(await slipway.api('POST', `${path}/retry`, {})).toEqual({ retried: 1 });
  await until(slipway, 'it to die a third time', (one) => counted(one, 'dead') === 3);
  expect(await slipway.api('GET', `${path}/size`)).toMatchObject({ proposal: { verdict: 'not yet' } });
  await expect(slipway.api('POST', `${path}/size`)).rejects.toThrow('409');
  expect(await slipway.api('GET', `${path}/scale`)).toMatchObject({
    lanes: [{ lane: 'normal', desired: 1, ready: 0 }],
  });
  const response = await fetch(`${slipway.url}/api/metrics`, { headers: { authorization: `Bearer ${slipway.token}` } });
  const metrics = await response.text();
  expect(metrics).toContain('slipway_queue_desired_slots{queue="shop/staging/thumbnails",lane="normal"} 1\n');
  expect(metrics).toContain('slipway_queue_dead_total{queue="shop/staging/thumbnails",lane="normal"} 3\n');
  await expect(slipway.api('GET', '/queues/shop/staging/thumbnail')).rejects.toThrow('Did you mean thumbnails?');
  const story = await slipway.api<ApiWhy>('GET', `/why?thing=shop/staging/thumbnails/${bad}`);
  expect(story.summary).toMatch(/^It is dead after 3 attempts \(discarded\): It ended with exit code 65/);
  expect(story.timeline.at(-1)).toMatchObject({
    kind: 'awaited',
    unblock: `Try it again: slipway queue retry shop/staging/thumbnails ${bad}`,
  });
  const queueStory = await slipway.api<ApiWhy>('GET', '/why?thing=shop/staging/thumbnails');
  expect(queueStory.summary).toMatch(/^normal: 0 wait, 0 run; slots 1: .* 1 are dead\.$/);
  const why = await slipway.api<{ timeline: { message: string }[] }>('GET', '/why?thing=shop/staging');
  const told = why.timeline.map(({ message }) => message).join('\n');
  expect(told).toMatch(/thumbnails begins to work, 1 task at once/);
  expect(told).toMatch(new RegExp(`task ${bad} of thumbnails died: discarded`));
});

test('the example shop shows a thumbnail that its worker made', async () => {
  const slipway = await SlipwayUnderTest.start();
  const shop = path.join(import.meta.dirname, '..', '..', '..', 'examples', 'shop');
  const repository = await slipway.repository('shop', {});
  await cp(shop, repository.folder, { recursive: true });
  await repository.commit({}, 'The shop');
  await repository.push();
  await slipway.ready('shop', 'staging', await repository.head());
  const asked = await slipway.request('staging.shop.localhost', '/thumbnails/rope');
  expect(asked.status).toBe(303);
  const { task } = JSON.parse(asked.body) as { task: string };
  await until(slipway, 'the thumbnail to be made', (one) => counted(one, 'done') === 1);
  const shown = await slipway.request('staging.shop.localhost', `/thumbnails/${task}`);
  expect(shown).toMatchObject({ status: 200, body: expect.stringContaining('Mooring rope</title>') as string });
});

/** What the stream of a queue's events has said so far. */
async function tail(slipway: SlipwayUnderTest, path: string): Promise<() => string> {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(`${slipway.url}/api${path}/events`, {
    headers: { authorization: `Bearer ${slipway.token}` },
    signal: abort.signal,
  });
  let heard = '';
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) heard += decoder.decode(chunk as Uint8Array, { stream: true });
  };
  read().catch(() => undefined);
  await waitFor(() => heard.includes('synced'), { what: 'the stream', seconds: 10 });
  return () => heard;
}

/** Process ids of the runners of this Slipway. */
async function runners(slipway: SlipwayUnderTest): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const read = async (file: string) => await readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!(await read('cmdline')).includes('runner-main')) continue;
    if ((await read('environ')).includes(slipway.home)) found.push(Number(name));
  }
  return found;
}
