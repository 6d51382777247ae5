import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { startProcess, temporaryFolder, waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { kinds } from './api-under-test.ts';
import { servedQueue } from './served-queue-under-test.ts';

const hasPython = spawnSync('python3', ['--version']).status === 0;
const examples = path.resolve(import.meta.dirname, '../../../../examples');
const limits = { cpu: 1, memoryBytes: 200 * 1024 * 1024, timeoutSeconds: 60 };

async function setup() {
  const { pool, database, folder: objects, queue, url } = await servedQueue();
  const folder = await temporaryFolder();
  const ask = (method: string, address: string, body?: string) =>
    fetch(`${url}${address}`, {
      method,
      headers: { authorization: 'Bearer shop' },
      ...(body !== undefined && { body }),
    });
  const runner = async (command: string, by: 'HTTP' | 'PostgreSQL' = 'HTTP', more: Record<string, unknown> = {}) => {
    const settings = {
      kind: 'shop/render',
      retries: 1,
      command,
      cwd: folder,
      env: { EXAMPLES: examples },
      limits: { normal: limits, fallback: limits },
      slots: { normal: 2, fallback: 0 },
      folder: path.join(folder, 'attempts'),
      graceSeconds: 4,
      ...more,
    };
    const where =
      by === 'HTTP'
        ? { SLIPWAY_URL: url, SLIPWAY_TOKEN: 'shop' }
        : { DATABASE_URL: database, SLIPWAY_OBJECTS: `file://${objects}` };
    const env = { SLIPWAY_RUNNER: JSON.stringify(settings), ...where };
    const child = startProcess(process.execPath, [path.join(import.meta.dirname, 'runner-main.ts')], { env });
    await child.waitForOutput(/works on tasks of shop\/render/);
    return child;
  };
  const row = async () =>
    (await pool.query('select state, losses, failures, interruptions from slipway_queue.task')).rows[0];
  return { pool, queue, ask, runner, row };
}

test.skipIf(!hasPython).for(['HTTP', 'PostgreSQL'] as const)(
  'a command in Python gets payload and files, and its result and files can be read when it is done; by %s',
  async (by) => {
    const { ask, runner, queue, pool } = await setup();
    const { key } = (await (await ask('PUT', '/files/values.csv', 'apples,3\npears,5\n')).json()) as { key: string };
    const body = { payload: { title: 'Fruit', colour: '#112233' }, files: [{ name: 'values.csv', key }] };
    const added = await ask('POST', '/tasks/shop/render', JSON.stringify(body));
    const { ids } = (await added.json()) as { ids: string[] };
    await runner('python3 "$EXAMPLES/worker-python/render.py"', by);
    await waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
      what: 'the picture',
      seconds: 20,
    });
    const task = (await (await ask('GET', `/tasks/${ids[0]}`)).json()) as {
      state: string;
      result: unknown;
      output: { files: { name: string; key: string }[] };
    };
    expect(task).toMatchObject({ state: 'done', result: { title: 'Fruit', bars: 2 } });
    const chart = task.output.files.find(({ name }) => name === 'chart.png');
    const picture = Buffer.from(await (await ask('GET', `/files/${chart?.key}`)).arrayBuffer());
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
    if (by === 'PostgreSQL') return; // another process counted it
    const [used] = await queue.usage('shop/render');
    expect(used).toMatchObject({ taskId: ids[0], end: 'done', limits: { memoryBytes: limits.memoryBytes } });
    expect(used?.peakBytes).toBeGreaterThan(1_000_000);
  },
);

test('a command sees neither the token nor the database, and its lines are told with the task', async () => {
  const { queue, runner } = await setup();
  const child = await runner('env; exit 65');
  const id = await queue.enqueue(kinds.render, {});
  await waitFor(async () => (await queue.dead({ limit: 1 })).length === 1, { what: 'the dead letter' });
  expect(child.output()).toContain(`[task ${id}] SLIPWAY_TASK_ID=${id}`);
  expect(child.output()).not.toMatch(/SLIPWAY_TOKEN|SLIPWAY_RUNNER|DATABASE_URL|SLIPWAY_URL/);
  expect(await queue.dead({ limit: 1 })).toMatchObject([{ cause: 'discarded', failures: 0 }]);
});

test('SIGTERM lets an attempt finish that can, hands the other back, and ends within the grace', async () => {
  const { queue, runner, row, pool } = await setup();
  const short = await queue.enqueue(kinds.render, {});
  const child = await runner('echo begins; [ "$SLIPWAY_TASK_ID" = 1 ] && { sleep 0.5; exit 0; }; sleep 60');
  await queue.enqueue(kinds.render, {});
  await child.waitForOutput(/task 1\] begins/);
  await child.waitForOutput(/task 2\] begins/);
  const begin = performance.now();
  child.signal('SIGTERM');
  expect(await child.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - begin).toBeLessThan(5_500);
  expect(await row()).toEqual({ state: 'ready', losses: 0, failures: 0, interruptions: 1 });
  const { rows } = await pool.query('select id from slipway_queue.done_task');
  expect(rows).toEqual([{ id: short }]);
});

test('what a killed runner worked on is done by another one, and its command does not go on', async () => {
  const { queue, runner, pool } = await setup();
  const first = await runner('echo "runs as $$"; sleep 60');
  await queue.enqueue(kinds.render, {});
  const pid = Number((await first.waitForOutput(/runs as (\d+)/))[1]);
  first.signal('SIGKILL');
  await waitFor(() => !isRunning(pid), { what: 'the command to be ended' });
  await runner('true');
  await waitFor(async () => (await pool.query('select from slipway_queue.done_task')).rowCount === 1, {
    what: 'the other runner to do it',
    seconds: 20,
  });
  expect((await pool.query('select from slipway_queue.task')).rowCount).toBe(0);
});

test('a runner that is configured wrongly says what is wrong', async () => {
  const child = startProcess(process.execPath, [path.join(import.meta.dirname, 'runner-main.ts')], {
    env: { SLIPWAY_RUNNER: '{"kind":"x"}' },
  });
  expect(await child.exited).toEqual({ code: 2, signal: null });
  expect(child.output()).toMatch(/SLIPWAY_RUNNER can't be used: command: /);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
