import { expect, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import type { ApiEvent, ApiQueue, ApiSizeProposal } from '../api/schemas.ts';
import { sampleApp, sampleYaml, SlipwayUnderTest, type Repository } from '../slipway-under-test.ts';

const mebibyte = 2 ** 20;
const path = '/queues/shop/staging/thumbnails';
const kind = 'shop/staging/thumbnails';

async function deployed(workers: string): Promise<{ slipway: SlipwayUnderTest; repository: Repository }> {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: yamlOf(workers) }));
  await repository.push();
  await slipway.ready('shop', 'staging', await repository.head());
  return { slipway, repository };
}

function yamlOf(workers: string): string {
  return sampleYaml('shop', `workers:\n${workers}`);
}

interface Measured {
  lane: 'normal' | 'fallback';
  count: number;
  peak: number;
  seconds: number;
  limit: number;
}

/** As if so many tasks had been done, which would take a while. */
async function measured(slipway: SlipwayUnderTest, queue: string, samples: Measured[]): Promise<void> {
  for (const { lane, count, peak, seconds, limit } of samples) {
    await slipway.query(`insert into slipway_tasks.attempt_usage
        (kind, task_id, lane, ended, peak_bytes, cpu_seconds, wall_seconds, limit_bytes, limit_cpu, limit_seconds)
      select '${queue}', (select coalesce(max(task_id), 1000000) from slipway_tasks.attempt_usage) + number, '${lane}', 'done',
        ${peak * mebibyte}, ${seconds / 4}, ${seconds}, ${limit * mebibyte}, 0.25, 600
      from generate_series(1, ${count}) as number`);
    await slipway.query(`insert into slipway_tasks.tally as tally (kind, lane, enqueued, started, done, busy_seconds)
      values ('${queue}', '${lane}', ${count}, ${count}, ${count}, ${count * seconds})
      on conflict (kind, lane) do update set enqueued = tally.enqueued + excluded.enqueued, started = tally.started + excluded.started,
        done = tally.done + excluded.done, busy_seconds = tally.busy_seconds + excluded.busy_seconds`);
  }
}

/** Does a task. @returns the memory limit it had, in MiB. */
async function limitOfNextTask(slipway: SlipwayUnderTest): Promise<number> {
  const { ids } = await slipway.api<{ ids: string[] }>('POST', `${path}/tasks`, { tasks: [{ payload: 1 }] });
  const rows = await waitFor(
    async () => {
      const found = await slipway.query(
        `select limit_bytes::float8 as bytes from slipway_tasks.attempt_usage where task_id = ${ids[0]} and ended = 'done'`,
      );
      return found.length > 0 ? (found as { bytes: number }[]) : null;
    },
    { what: 'a task to be done and measured', seconds: 20 },
  ).catch(async (error: unknown) => {
    const rows = await slipway.query('select * from slipway_tasks.attempt_usage order by id desc limit 2');
    const view = [await slipway.api('GET', path), rows, await slipway.query('select * from slipway_tasks.task'), ids];
    throw new Error(
      `${String(error)}\n${JSON.stringify(view)}\n${slipway.server?.output()}\n${slipway.agent?.output()}`,
      { cause: error },
    );
  });
  return (rows[0]?.bytes ?? 0) / mebibyte;
}

async function memories(slipway: SlipwayUnderTest, of = path): Promise<number[]> {
  const { lanes } = await slipway.api<ApiQueue>('GET', of);
  return lanes.map(({ size }) => size.memoryBytes / mebibyte);
}

async function resized(slipway: SlipwayUnderTest): Promise<ApiEvent[]> {
  return (await slipway.events('shop'))
    .filter((event) => event.kind === 'worker.resized')
    .toSorted((a, b) => a.id - b.id);
}

/** Waits until the normal lane has so many MiB. */
async function untilNormal(slipway: SlipwayUnderTest, wanted: number): Promise<void> {
  await waitFor(async () => (await memories(slipway))[0] === wanted, {
    what: `${wanted} MiB in the normal lane`,
    seconds: 30,
  }).catch(async (error: unknown) => {
    const told = JSON.stringify([await memories(slipway), await resized(slipway)]);
    throw new Error(`${String(error)}\nlast: ${told}\n${slipway.server?.output()}`, { cause: error });
  });
}

test('with sizes: auto, lanes follow what is measured; what slipway.yaml declares anew counts until enough more was', async () => {
  const declared = (memory: string): string =>
    `  thumbnails: { run: 'true', sizes: auto, stop: 1s, normal: { memory: ${memory} }, fallback: { memory: 2Gi } }\n`;
  const { slipway, repository } = await deployed(declared('1Gi'));
  await measured(slipway, kind, [{ lane: 'normal', count: 190, peak: 100, seconds: 2, limit: 1024 }]);
  expect(await limitOfNextTask(slipway)).toBe(1024);
  // Too few: 200 have to come before the sizes change.
  expect(await memories(slipway)).toEqual([1024, 2048]);
  await measured(slipway, kind, [{ lane: 'normal', count: 60, peak: 100, seconds: 2, limit: 1024 }]);
  await limitOfNextTask(slipway);
  await untilNormal(slipway, 128);
  expect(await resized(slipway)).toMatchObject([
    {
      actor: 'slipway',
      message: expect.stringMatching(/^staging: thumbnails gets .* 128 MiB, .* Saves [\d.]+ % of/) as string,
    },
  ]);
  // The runner starts again with them.
  await waitFor(async () => (await limitOfNextTask(slipway)) === 128, {
    what: 'a task with the new size',
    seconds: 30,
  });

  await repository.commit({ 'slipway.yaml': yamlOf(declared('512Mi')) }, 'More memory');
  await repository.push();
  await slipway.ready('shop', 'staging', await repository.head());
  await untilNormal(slipway, 512);
  await waitFor(async () => (await limitOfNextTask(slipway)) === 512, {
    what: 'a task with the declared size',
    seconds: 30,
  });
  expect(await memories(slipway)).toEqual([512, 2048]);
  expect((await resized(slipway)).map(({ message }) => message)).toEqual([
    expect.any(String),
    'staging: thumbnails has the sizes that slipway.yaml declares now.',
  ]);

  await measured(slipway, kind, [{ lane: 'normal', count: 250, peak: 180, seconds: 2, limit: 512 }]);
  await limitOfNextTask(slipway);
  await untilNormal(slipway, 256);
}, 120_000);

test('an administrator puts proposed sizes in force, but none that a worker without a fallback lane would fail under', async () => {
  const { slipway } = await deployed(
    `  thumbnails: { run: 'true', stop: 1s, normal: { memory: 4Gi }, fallback: { memory: 8Gi } }\n  alone: { run: 'true', normal: { memory: 4Gi } }\n`,
  );
  const samples: Measured[] = [
    { lane: 'normal', count: 190, peak: 100, seconds: 2, limit: 4096 },
    { lane: 'normal', count: 10, peak: 3000, seconds: 4, limit: 4096 },
  ];
  for (const queue of [kind, 'shop/staging/alone']) await measured(slipway, queue, samples);
  const viewer = await slipway.api<{ token: string }>('POST', '/tokens', { name: 'v', role: 'viewer' });
  const asked = await slipway.api<ApiSizeProposal>('GET', `${path}/size`, undefined, viewer.token);
  expect(asked.proposal.verdict).toBe('split');
  expect(asked.present.normal.memoryBytes).toBe(4096 * mebibyte);
  await expect(slipway.api('POST', `${path}/size`, undefined, viewer.token)).rejects.toThrow('403');
  expect(await resized(slipway)).toEqual([]);

  const applied = await slipway.api<ApiSizeProposal>('POST', `${path}/size`);
  expect(applied.present).toEqual(asked.proposal['sizes']);
  expect(await memories(slipway)).toEqual([128, 3456]);
  const [event, ...others] = await resized(slipway);
  expect(others).toEqual([]);
  expect(event?.actor).not.toBe('slipway');
  expect(event?.message).toMatch(/^staging: thumbnails gets .* 128 MiB, .* in the fallback lane .* 3456 MiB, /);
  expect(await limitOfNextTask(slipway)).toBe(128);
  // What was declared has not changed since, so it stays.
  expect(await memories(slipway)).toEqual([128, 3456]);

  const alone = '/queues/shop/staging/alone/size';
  expect((await slipway.api<ApiSizeProposal>('GET', alone)).lines.at(-1)).toMatch(/has no fallback lane/);
  await expect(slipway.api('POST', alone)).rejects.toThrow(/409 .*has no fallback lane.*Nothing was changed/);
  expect(await resized(slipway)).toHaveLength(1);
}, 60_000);

test('the ceiling of a preview is the one that the default branch says, for declared and for measured sizes', async () => {
  const yaml = (ceiling: string, memory: string): string =>
    `${yamlOf(`  thumbnails: { run: 'true', sizes: auto, normal: { memory: ${memory} }, fallback: { memory: 8Gi } }\n`)}environments:
  staging: { branch: main }
  preview: { pull-requests: true, ceiling: { memory: ${ceiling} } }
`;
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: yaml('448Mi', '256Mi') }));
  await repository.push();
  await slipway.ready('shop', 'staging', await repository.head());
  await repository.git('switch', '-q', '-c', 'greedy');
  // The pull request wants more for itself, in its lanes and in its ceiling.
  await repository.commit({ 'slipway.yaml': yaml('64Gi', '1Gi') }, 'More');
  await repository.push('greedy');
  await slipway.ready('shop', 'pr-1', await repository.head());
  const preview = '/queues/shop/pr-1/thumbnails';
  expect(await memories(slipway, preview)).toEqual([448, 448]);
  expect(await memories(slipway)).toEqual([256, 8192]);

  // Most need 100 MiB, some much more than is allowed.
  await measured(slipway, 'shop/pr-1/thumbnails', [
    { lane: 'normal', count: 240, peak: 100, seconds: 2, limit: 1024 },
    { lane: 'normal', count: 10, peak: 3000, seconds: 4, limit: 4096 },
  ]);
  await slipway.api('POST', `${preview}/tasks`, { tasks: [{ payload: 1 }] });
  await waitFor(async () => (await memories(slipway, preview))[0] === 128, { what: 'measured sizes', seconds: 30 });
  expect(await memories(slipway, preview)).toEqual([128, 448]);
  expect((await resized(slipway)).map(({ message }) => message)).toEqual([
    expect.stringMatching(/^pr-1: thumbnails gets .* 128 MiB, .* in the fallback lane .* 448 MiB, /),
  ]);

  // A change of the policy holds at once, though nothing is pushed to the pull request.
  await repository.git('switch', '-q', 'main');
  await repository.commit({ 'slipway.yaml': yaml('64Mi', '256Mi') }, 'Less for previews');
  await repository.push();
  expect(await memories(slipway, preview)).toEqual([64, 64]);
  await waitFor(async () => (await plannedMemory(slipway, 'pr-1')).every((one) => one === 64), {
    what: 'a plan with the new ceiling',
    seconds: 20,
  });
  expect((await slipway.events('shop')).map(({ message }) => message)).toContain(
    'pr-1 has another ceiling now: at most 64 MiB for an attempt.',
  );
}, 90_000);

/** MiB of the lanes that the engine is told. */
async function plannedMemory(slipway: SlipwayUnderTest, environment: string): Promise<number[]> {
  const rows = await slipway.query(`select plan from slipway.environment where name = '${environment}'`);
  const [{ plan }] = rows as [{ plan: { releases: { workers: { variables: { SLIPWAY_RUNNER: string } }[] }[] } }];
  return plan.releases.flatMap(({ workers }) =>
    workers.flatMap(({ variables }) => {
      const { limits } = JSON.parse(variables.SLIPWAY_RUNNER) as { limits: Record<string, { memoryBytes: number }> };
      return Object.values(limits).map(({ memoryBytes }) => memoryBytes / mebibyte);
    }),
  );
}
