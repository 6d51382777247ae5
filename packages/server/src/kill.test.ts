import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import { journalFile, sampleApp, sampleYaml, SlipwayUnderTest, type Repository } from './slipway-under-test.ts';

/** The moments of a rollout: each is an event, and the kill comes as soon as it is committed. */
const moments = [
  'branch.pushed',
  'build.started',
  'build.passed',
  'check.started',
  'check.passed',
  'release.created',
  'job.started',
  'job.passed',
  'rollout.succeeded',
] as const;

/** An app in which everything takes long enough to be killed in the middle, and whose job leaves a line for each run. */
async function slowApp(journal: string): Promise<Record<string, string>> {
  return {
    ...sampleApp('shop', {
      yaml: `app: shop
services:
  web:
    build: sleep 0.2
    run: sleep 0.2; exec node web.js
    health: /healthz
    stop: 2s
checks:
  test: { run: sleep 0.2 }
jobs:
  migrate: { run: 'sleep 0.2; echo "$SLIPWAY_COMMIT" >> ${journal}', when: before-deploy }
`,
    }),
  };
}

async function runsOf(journal: string, sha: string): Promise<number> {
  return (await readFile(journal, 'utf8')).split('\n').filter((line) => line === sha).length;
}

/** Commits a change and pushes it; the push may be cut off by what the test kills. */
async function pushChange(repository: Repository, number: number): Promise<{ sha: string; push: Promise<unknown> }> {
  const sha = await repository.commit({ 'text.txt': `change ${number}` }, `Change ${number}`);
  return { sha, push: repository.push().catch(() => null) };
}

async function bodyOf(slipway: SlipwayUnderTest): Promise<string> {
  return (JSON.parse((await slipway.request('staging.shop.localhost')).body) as { text: string }).text;
}

test(
  'the control plane killed at each step: the next one finishes the rollout, and the job has run once',
  { timeout: 180_000 },
  async () => {
    const slipway = await SlipwayUnderTest.start();
    const journal = await journalFile();
    const repository = await slipway.repository('shop', await slowApp(journal));
    await repository.push();
    for (const [number, moment] of moments.entries()) {
      const { seen } = await slipway.nextEvent(moment);
      const { sha, push } = await pushChange(repository, number);
      await seen;
      await slipway.server?.kill();
      expect((await slipway.request('staging.shop.localhost')).status, `requests while killed at ${moment}`).toBe(200);
      await push;
      await slipway.startServer();
      await slipway.ready('shop', 'staging', sha);
      expect(await bodyOf(slipway)).toBe(`change ${number}`);
      expect(await runsOf(journal, sha), `runs of the job, killed at ${moment}`).toBe(1);
    }
    expect((await slipway.environment('shop', 'staging')).rollout).toMatchObject({ state: 'succeeded' });
  },
);

test('the agent killed at each step: the next one adopts what runs and finishes', { timeout: 180_000 }, async () => {
  const slipway = await SlipwayUnderTest.start();
  const journal = await journalFile();
  const repository = await slipway.repository('shop', await slowApp(journal));
  await repository.push();
  for (const [number, moment] of moments.entries()) {
    const { seen } = await slipway.nextEvent(moment);
    const { sha, push } = await pushChange(repository, number);
    await seen;
    slipway.agent?.signal('SIGKILL');
    await slipway.agent?.exited;
    await slipway.startAgent();
    await push;
    await slipway.ready('shop', 'staging', sha);
    expect(await bodyOf(slipway)).toBe(`change ${number}`);
    expect(await runsOf(journal, sha), `runs of the job, killed at ${moment}`).toBe(1);
  }
});

test(
  'PostgreSQL killed at each step: requests are served meanwhile, and the rollout is finished',
  { timeout: 180_000 },
  async () => {
    const slipway = await SlipwayUnderTest.start({ postgres: 'own' });
    const { postgres } = slipway;
    if (!postgres) throw new Error('no PostgreSQL of its own');
    const journal = await journalFile();
    const repository = await slipway.repository('shop', await slowApp(journal));
    await repository.push();
    for (const [number, moment] of moments.entries()) {
      const { seen } = await slipway.nextEvent(moment);
      const { sha, push } = await pushChange(repository, number);
      await seen;
      process.kill(postgres.pid, 'SIGKILL');
      await postgres.exited;
      expect((await slipway.request('staging.shop.localhost')).status, `requests while killed at ${moment}`).toBe(200);
      const refused = await fetch(`${slipway.url}/api/me`, { headers: { authorization: `Bearer ${slipway.token}` } });
      expect(await refused.json()).toMatchObject({ kind: 'transient', status: 503 });
      await postgres.start();
      await push;
      await slipway.ready('shop', 'staging', sha);
      expect(await bodyOf(slipway)).toBe(`change ${number}`);
      expect(await runsOf(journal, sha), `runs of the job, killed at ${moment}`).toBe(1);
    }
  },
);

test(
  'the serving instance killed at each step: another one answers, and the rollout is finished',
  { timeout: 180_000 },
  async () => {
    const slipway = await SlipwayUnderTest.start();
    const journal = await journalFile();
    const repository = await slipway.repository('shop', await slowApp(journal));
    await repository.push();
    for (const [number, moment] of moments.entries()) {
      const { pid } = JSON.parse((await slipway.request('staging.shop.localhost')).body) as { pid: number };
      const { seen } = await slipway.nextEvent(moment);
      const { sha, push } = await pushChange(repository, number);
      await seen;
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // At the last moment it has been stopped already.
      }
      await waitFor(async () => (await slipway.request('staging.shop.localhost')).status === 200, {
        what: `an answer after the kill at ${moment}`,
      });
      await push;
      await slipway.ready('shop', 'staging', sha);
      expect(await bodyOf(slipway)).toBe(`change ${number}`);
    }
  },
);

test('an instance killed: it is started again, and the page says so meanwhile', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop') }));
  await repository.push();
  const { pid } = JSON.parse((await slipway.request('staging.shop.localhost')).body) as { pid: number };
  process.kill(pid, 'SIGKILL');
  await waitFor(
    async () => {
      const { status, body } = await slipway.request('staging.shop.localhost');
      return status === 200 && (JSON.parse(body) as { pid: number }).pid !== pid;
    },
    { what: 'another process to answer', seconds: 20 },
  );
  await waitFor(async () => (await slipway.events('shop')).some(({ kind }) => kind === 'instance.failing'), {
    what: 'the event that it failed',
    seconds: 10,
  });
  await slipway.ready('shop', 'staging', await repository.head());
});

test('killed after the end of a rollout was recorded: what it had started is taken back', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop') }));
  await repository.push();
  const yaml = sampleYaml('shop').replace('exec node', 'sleep 60; exec node').replace('start: 10s', 'start: 90s');
  await repository.commit({ 'slipway.yaml': yaml }, 'Slow');
  const push = repository.push().catch(() => null);
  const planned = async () =>
    JSON.stringify(
      await slipway.query(
        `select jsonb_path_query_array(plan, '$.releases[*].number') as numbers from slipway.environment`,
      ),
    );
  await waitFor(async () => (await planned()) === '[{"numbers":[1,2]}]', { what: 'release 2 to be started' });
  slipway.server?.signal('SIGKILL');
  await slipway.server?.exited;
  await push;
  await slipway.query(
    `update slipway.rollout set state = 'failed', reason = 'it was slow', finished_at = now() where state = 'running'`,
  );
  await slipway.startServer();
  await waitFor(async () => (await planned()) === '[{"numbers":[1]}]', {
    what: 'only release 1 to be wanted',
    seconds: 40,
  });
  expect(await bodyOf(slipway)).toBe('hello');
});
