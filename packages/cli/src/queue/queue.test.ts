import type { IncomingMessage, ServerResponse } from 'node:http';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import type { ApiQueue, ApiTask } from '../api.ts';
import { fakeApi, problem } from '../test/fake-api.ts';
import { slipway } from '../test/slipway.ts';
import type { SizeAnswer } from './size-text.ts';

/** How the commands about queues ask the API and print what it answers. */

const counts = {
  done: 1200,
  errors: 3,
  ooms: 9,
  timeouts: 1,
  crashes: 0,
  lost: 2,
  interrupted: 4,
  escalated: 10,
  dead: 2,
};

const queue: ApiQueue = {
  name: 'thumbnails',
  environment: 'shop/production',
  ratePerMinute: { arrived: 39.6, done: 4.25 },
  oldestSeconds: 12.4,
  dead: 2,
  approximate: false,
  lanes: [
    {
      lane: 'normal',
      ready: 120,
      scheduled: 1,
      running: 4,
      slots: 4,
      maxSlots: 20,
      reason: '40 tasks/s keep 4 slots busy',
      size: { cpu: 0.5, memoryBytes: 500 * 1024 ** 2, timeoutSeconds: 20 },
      counts,
    },
    {
      lane: 'fallback',
      ready: 0,
      scheduled: 0,
      running: 0,
      slots: 0,
      maxSlots: 20,
      reason: 'nothing to do for 60 s',
      size: { cpu: 2, memoryBytes: 2 * 1024 ** 3, timeoutSeconds: 300 },
      counts: { ...counts, done: 9 },
    },
  ],
};

const task: ApiTask = {
  id: '17',
  queue: 'shop/production/thumbnails',
  state: 'dead',
  lane: 'fallback',
  key: 'cat',
  priority: 0,
  attempts: 3,
  failures: 1,
  ooms: 2,
  timeouts: 0,
  crashes: 0,
  losses: 0,
  interruptions: 0,
  progress: null,
  payload: { image: 'cat.png' },
  result: null,
  output: null,
  error: 'used 2.1 GiB of 2 GiB',
  cause: 'out-of-memory',
  history: [
    { attempt: 1, lane: 'normal', at: '2026-01-02T03:04:05Z', cause: 'oom', message: 'used 510 MiB\nof 500 MiB' },
  ],
  createdAt: '2026-01-02T03:04:00Z',
  runAt: '2026-01-02T03:04:00Z',
  finishedAt: '2026-01-02T03:05:00Z',
};

const normal = { cpu: 0.25, memoryBytes: 256 * 1024 ** 2, timeoutSeconds: 5 };
const fallback = { cpu: 2, memoryBytes: 2 * 1024 ** 3, timeoutSeconds: 300 };
const priced = { sizes: { normal, fallback }, per1000Tasks: 0.0123, failShare: 0 };
const lines = ['1200 finished tasks measured.', 'Break-even is at 87.5 %: this is below it.'];
const size: SizeAnswer = {
  lines,
  present: { normal: queue.lanes[0]?.size ?? normal, fallback },
  proposal: {
    ...priced,
    verdict: 'split',
    samples: { finished: 1200, unfinished: 0, ignored: 0 },
    fallbackShare: 0.05,
    fallbackTimeShare: 0.2,
    onePool: { ...priced, sizes: { normal: fallback, fallback }, per1000Tasks: 0.05, savingPercent: 75.4 },
    percentile95: { ...priced, per1000Tasks: 0.02, savingPercent: 38.5 },
    present: { ...priced, per1000Tasks: 0.03, savingPercent: 59 },
    types: [],
    perType: null,
    reading: lines,
  },
};

const path = '/api/queues/shop/production/thumbnails';

async function asked(args: string[], routes: Parameters<typeof fakeApi>[1]) {
  const home = await temporaryFolder();
  const api = await fakeApi(home, routes);
  return { ...(await slipway(['queue', ...args], { home })), requests: api.asked };
}

test('list shows every queue, and with --json exactly what the API says', async () => {
  const { stdout } = await asked(['list'], {
    'GET /api/queues': [queue, { ...queue, name: 'mails', approximate: true }],
  });
  expect(stdout).toBe(
    [
      'QUEUE                       READY  SCHEDULED  RUNNING  SLOTS  OLDEST  CAME/MIN  DONE/MIN  DEAD',
      'shop/production/thumbnails  120    1          4        4+0    12 s    40        4.3       2',
      'shop/production/mails       120+   1+         4        4+0    12 s    40        4.3       2',
      '',
    ].join('\n'),
  );
  const json = await asked(['list', 'shop/production', '--json'], {
    'GET /api/queues?app=shop&environment=production': [queue],
  });
  expect(JSON.parse(json.stdout)).toEqual([queue]);
  expect((await asked(['list', 'shop'], { 'GET /api/queues?app=shop': [] })).stdout).toContain('No queues yet');
});

test('show tells how full a queue is, why it has so many slots, and what ended its attempts', async () => {
  const { stdout } = await asked(['show', 'shop/production/thumbnails'], { [`GET ${path}`]: queue });
  expect(stdout).toContain('dead          2   (slipway queue dead shop/production/thumbnails)');
  expect(stdout).toContain(
    'normal    120    1          4        4/20   0.5 CPU, 500 MiB, 20 s  40 tasks/s keep 4 slots busy',
  );
  expect(stdout).toMatch(/LANE +DONE +ERROR +OOM .*\nnormal +1200 +3 +9 +1 +0 +2 +4 +10 +2\nfallback +9 /);
});

test('show tells one task with its history', async () => {
  const { stdout } = await asked(['show', 'shop/production/thumbnails', '17'], { [`GET ${path}/tasks/17`]: task });
  expect(stdout).toContain('state     dead: out-of-memory\n');
  expect(stdout).toContain('attempts  3 (1 error, 2 oom)\n');
  expect(stdout).toContain('payload   {"image":"cat.png"}\n');
  expect(stdout).toMatch(/1 +normal +\S+ \S+ +oom +used 510 MiB of 500 MiB\n/);
});

test('a worker that there is once is found by its name; a branch with slashes is an environment', async () => {
  const routes = { 'GET /api/queues': [queue, { ...queue, name: 'mails' }], [`GET ${path}`]: queue };
  expect((await asked(['show', 'thumbnails', '--json'], routes)).requests).toEqual(['GET /api/queues', `GET ${path}`]);
  const { requests } = await asked(['show', 'shop/feature/x/mails'], {
    'GET /api/queues/shop/feature%2Fx/mails': queue,
  });
  expect(requests).toHaveLength(1);
  const several = { 'GET /api/queues': [queue, { ...queue, environment: 'shop/staging' }] };
  expect(await asked(['show', 'thumbnails'], several)).toMatchObject({
    code: 2,
    stderr:
      "slipway: several workers are called 'thumbnails'. Name one of them: shop/production/thumbnails, shop/staging/thumbnails\n",
  });
  expect((await asked(['show', 'nope'], routes)).stderr).toContain(
    "there is no worker 'nope'. What there is: slipway queue list",
  );
});

test('tail prints what happens as it happens, and says when the stream ends', async () => {
  const events = (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const send = (event: string, data: object) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    const attempt = { at: '2026-01-02T03:04:05Z', taskId: '17', lane: 'normal', attempt: 1 };
    send('synced', {});
    send('task-interrupted', attempt);
    send('task-retry', { ...attempt, cause: 'error', seconds: 0.25, inSeconds: 2.04, error: 'no disk\nat x' });
    response.end();
  };
  const { code, stdout, stderr } = await asked(['tail', 'shop/production/thumbnails'], {
    [`GET ${path}/events`]: events,
  });
  expect(stdout).toMatch(/ {2}interrupted {2}task 17 {2}normal {2}attempt 1\n/);
  expect(stdout).toMatch(
    / {2}retry {8}task 17 {2}normal {2}attempt 1 {2}error {2}0\.25 s {2}again in 2 s {2}no disk at x\n$/,
  );
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'slipway: the control plane ended the stream. Run the command again to go on.\n',
  });
  const json = await asked(['tail', 'shop/production/thumbnails', '--json'], { [`GET ${path}/events`]: events });
  expect(JSON.parse(json.stdout.split('\n')[1] ?? '')).toMatchObject({
    event: 'task-retry',
    taskId: '17',
    cause: 'error',
  });
});

test('retry makes one ready again, or all that died of something, and says how many', async () => {
  const one = await asked(['retry', 'shop/production/thumbnails', '17'], { [`POST ${path}/tasks/17/retry`]: {} });
  expect(one.stdout).toBe('Task 17 of shop/production/thumbnails is ready again.\n');
  const all = await asked(['retry', 'shop/production/thumbnails', '--dead', '--cause', 'out-of-memory'], {
    [`POST ${path}/retry`]: { retried: 3 },
  });
  expect(all.stdout).toBe('3 dead tasks that died of out-of-memory of shop/production/thumbnails are ready again.\n');
  expect(all.requests).toEqual([`POST ${path}/retry {"cause":"out-of-memory"}`]);
  const none = await asked(['retry', 'shop/production/thumbnails', '--dead'], {
    [`POST ${path}/retry`]: { retried: 0 },
  });
  expect(none).toMatchObject({ code: 0, stdout: 'There are no dead tasks in shop/production/thumbnails.\n' });
});

test('dead lists the dead letters and how to go on', async () => {
  const { stdout } = await asked(['dead', 'shop/production/thumbnails', '--limit', '1'], {
    [`GET ${path}/tasks?state=dead&limit=1`]: { tasks: [task], next: null },
  });
  expect(stdout).toMatch(/17 +out-of-memory +3 +\S+ \S+ +used 2\.1 GiB of 2 GiB\n/);
  expect(stdout).toContain('These are the newest 1; see more by a larger --limit.\n');
  const empty = { [`GET ${path}/tasks?state=dead&limit=50`]: { tasks: [], next: null } };
  expect((await asked(['dead', 'shop/production/thumbnails'], empty)).stdout).toBe(
    'No dead tasks in shop/production/thumbnails.\n',
  );
});

test('cancel says what it did, and a refusal in the words of the control plane', async () => {
  const done = await asked(['cancel', 'shop/production/thumbnails', '17', '--json'], {
    [`DELETE ${path}/tasks/17`]: { cancelled: '17' },
  });
  expect(JSON.parse(done.stdout)).toEqual({ cancelled: '17' });
  const gone = await asked(['cancel', 'shop/production/thumbnails', '17'], {
    [`DELETE ${path}/tasks/17`]: (_: IncomingMessage, response: ServerResponse) =>
      problem(response, 404, 'not-found', 'there is no task 17', 'It may be done.'),
  });
  expect(gone).toMatchObject({ code: 2, stderr: 'slipway: there is no task 17. It may be done.\n' });
});

test('size shows the proposal beside what it is measured against, and what applying it does', async () => {
  const { stdout } = await asked(['size', 'shop/production/thumbnails'], { [`GET ${path}/size`]: size });
  expect(stdout).toMatch(/proposed +0\.25 CPU, 256 MiB, 5 s +2 CPU, 2 GiB, 300 s +\$0\.0123\n/);
  expect(stdout).toMatch(/in force +0\.5 CPU, 500 MiB, 20 s +2 CPU, 2 GiB, 300 s +\$0\.0300 +59\.0 %\n/);
  expect(stdout).toMatch(/one big pool +2 CPU, 2 GiB, 300 s +- +\$0\.0500 +75\.4 %\n/);
  expect(stdout).toMatch(/95th percentile .* +\$0\.0200 +38\.5 %\n/);
  expect(stdout).toContain('Break-even is at 87.5 %: this is below it.\n');
  expect(stdout).toContain('slipway queue size shop/production/thumbnails --apply puts the proposed sizes in force');

  const early = {
    ...size,
    lines: ['3 finished tasks are measured and 100 are needed.'],
    proposal: {
      verdict: 'not yet',
      samples: { finished: 3, unfinished: 0, ignored: 0 },
      reason: '3 finished tasks are measured and 100 are needed.',
    },
  };
  expect((await asked(['size', 'shop/production/thumbnails'], { [`GET ${path}/size`]: early })).stdout).toBe(
    'In force: normal 0.5 CPU, 500 MiB, 20 s; fallback 2 CPU, 2 GiB, 300 s.\nNo proposal yet: 3 finished tasks are measured and 100 are needed.\n',
  );
  const applied = await asked(['size', 'shop/production/thumbnails', '--apply'], {
    [`POST ${path}/size`]: { ...size, present: { normal, fallback } },
  });
  expect(applied.stdout).toContain('has new sizes: normal 0.25 CPU, 256 MiB, 5 s; fallback 2 CPU, 2 GiB, 300 s.');
});

test.for([
  {
    args: [],
    says: 'slipway: queue needs to know what to do. Use: slipway queue list|show|tail|dead|retry|cancel|size. See: slipway queue --help\n',
  },
  {
    args: ['frob'],
    says: "slipway: queue can't 'frob'. Use: slipway queue list|show|tail|dead|retry|cancel|size. See: slipway queue --help\n",
  },
  {
    args: ['show', 'shop/production'],
    says: "slipway: 'shop/production' does not name a queue. Write APP/ENV/WORKER, e.g. shop/production/thumbnails. What there is: slipway queue list\n",
  },
  {
    args: ['retry', 'shop/production/thumbnails'],
    says: 'slipway: retry takes one task, or all that are dead. Write: slipway queue retry QUEUE TASK, or: slipway queue retry QUEUE --dead [--cause CAUSE]\n',
  },
  {
    args: ['retry', 'shop/production/thumbnails', '17', '--dead'],
    says: 'slipway: retry takes one task, or all that are dead. Write: slipway queue retry QUEUE TASK, or: slipway queue retry QUEUE --dead [--cause CAUSE]\n',
  },
])('queue $args is asked wrongly: exit code 2 and what to do', async ({ args, says }) => {
  const { code, stdout, stderr, requests } = await asked(args, {});
  expect({ code, stdout, stderr, requests }).toEqual({ code: 2, stdout: '', stderr: says, requests: [] });
});
