import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startProcess, waitFor } from '@slipway/testing';
import type { ApiRollout, ApiWhy } from './api/schemas.ts';
import { journalFile, sampleApp, sampleYaml, SlipwayUnderTest, webJs } from './slipway-under-test.ts';

/** How environments move, and which moves are refused. */

const delivery = `environments:
  staging: { branch: main }
  production: { from: staging, approve: true }
  preview: { pull-requests: true }
`;

async function move(slipway: SlipwayUnderTest, path: string, body: object = {}, token?: string): Promise<ApiRollout> {
  return await slipway.api('POST', `/apps/shop/environments/${path}`, body, token);
}

test('promotions and rollbacks that lead nowhere are refused; a deploy by hand ends a hold; why tells all of it', async () => {
  const slipway = await SlipwayUnderTest.start();
  const files = sampleApp('shop', { yaml: sampleYaml('shop', delivery) });
  const repository = await slipway.repository('shop', files);
  await repository.push();
  const first = await repository.head();
  await slipway.rolloutEnd((await move(slipway, 'production/promote')).id);
  await expect(move(slipway, 'production/promote')).rejects.toThrow(/409.*runs what staging runs already/);
  await expect(move(slipway, 'staging/promote')).rejects.toThrow(/422.*does not take promotions/);
  await expect(move(slipway, 'staging/rollback')).rejects.toThrow(/404.*no earlier release/);

  // Release 3 never comes up.
  const broken = await repository.commit({ 'web.js': 'process.exit(3)' }, 'Broken');
  expect(await repository.push()).toMatch(/crash|ended|exit/i);
  await expect(move(slipway, 'staging/rollback', { to: 3 })).rejects.toThrow(/404.*Release 3 never served staging/);
  await expect(move(slipway, 'staging/rollback', { to: 1 })).rejects.toThrow(/409.*runs release 1 already/);
  const fixed = await repository.commit(files, 'Fixed');
  await repository.push();
  await slipway.ready('shop', 'staging', fixed);

  // Back by one step passes over what never served, and holds until somebody deploys by hand.
  await slipway.rolloutEnd((await move(slipway, 'staging/rollback')).id);
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { number: 1 }, heldSince: fixed });
  const held = await slipway.api<ApiWhy>('GET', '/why?thing=shop/staging');
  expect(held.timeline.at(-1)).toMatchObject({
    kind: 'awaited',
    message: expect.stringMatching(/newer than/) as string,
  });
  const byHand = await move(slipway, 'staging/deploy', { commit: fixed });
  expect(await slipway.rolloutEnd(byHand.id)).toMatchObject({ state: 'succeeded' });
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { commit: fixed }, heldSince: null });

  const why = async (thing: string) => await slipway.api<ApiWhy>('GET', `/why?thing=${encodeURIComponent(thing)}`);
  const commit = await why(broken.slice(0, 10));
  expect(commit.subject).toBe(`commit ${broken.slice(0, 8)} "Broken" of shop`);
  expect(commit.summary).toMatch(/^Its checks passed\. staging: rollout \d+ failed/);
  const ofRollout = await why(byHand.id);
  expect(ofRollout.subject).toBe(`rollout ${byHand.id} of shop/staging`);
  expect(ofRollout.timeline.at(-1)?.message).toMatch(/is ready/);
  const app = await why('shop');
  expect(app.summary).toMatch(/staging is ready with release .*production is ready with release 2/);
  expect(app.timeline.some(({ message }) => message.includes(first.slice(0, 8)))).toBe(true);
  await expect(why('shopp')).rejects.toThrow(/404.*Did you mean shop\?/);
});

test('an approval that comes late does not bring an older commit back', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop', delivery) }));
  await repository.push();
  const newer = await repository.commit({ 'text.txt': 'two' }, 'Two');
  await repository.push();
  const { token } = await slipway.api<{ token: string }>('POST', '/tokens', { name: 'dora', role: 'deployer' });
  const ofNewer = await move(slipway, 'production/promote', {}, token);
  await slipway.rolloutEnd((await move(slipway, 'staging/rollback')).id);
  const ofOlder = await move(slipway, 'production/promote', {}, token);
  await slipway.api('POST', `/rollouts/${ofNewer.id}/approve`);
  expect(await slipway.rolloutEnd(ofNewer.id)).toMatchObject({ state: 'succeeded' });
  await slipway.api('POST', `/rollouts/${ofOlder.id}/approve`);
  expect(await slipway.rolloutEnd(ofOlder.id)).toMatchObject({
    state: 'superseded',
    reason: expect.stringMatching(/older than/) as string,
  });
  expect(await slipway.environment('shop', 'production')).toMatchObject({ release: { commit: newer } });
});

test('artifacts of all but the last ten releases are collected; what is asked for again is built again', async () => {
  const slipway = await SlipwayUnderTest.start();
  const build = '    build: cp text.txt built.txt\n';
  const yaml = `${sampleYaml('shop').replace('    run:', `${build}    run:`)}${delivery}`;
  const web = webJs.replace("'text.txt'", "'built.txt'");
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml, web, text: 'release 1' }));
  await repository.push();
  for (let number = 2; number <= 12; number += 1) {
    await repository.commit({ 'text.txt': `release ${number}` }, `Release ${number}`);
    await repository.push();
  }
  await slipway.query(`update slipway.artifact set created_at = now() - interval '2 hours'`);
  await slipway.query(`update slipway.commit set pushed_at = now() - interval '2 hours'`);
  // A preview that goes away lets the collection begin.
  await repository.push('main:refs/heads/feature');
  await repository.push('--delete', 'feature');
  await waitFor(
    async () => (await slipway.query(`select id from slipway.artifact where state = 'deleted'`)).length === 2,
    { what: 'two artifacts to be collected' },
  );
  await expect(move(slipway, 'staging/rollback', { to: 2 })).rejects.toThrow(
    /409.*deleted to save space; the last 10 releases are kept.*git checkout/,
  );
  expect(await slipway.rolloutEnd((await move(slipway, 'staging/rollback', { to: 3 })).id)).toMatchObject({
    state: 'succeeded',
    release: 3,
  });
  expect(JSON.parse((await slipway.request('staging.shop.localhost')).body)).toMatchObject({ text: 'release 3' });

  // The same tree as release 1, whose artifact is gone: its build runs again, it is not remembered.
  const again = await repository.commit({ 'text.txt': 'release 1' }, 'As in release 1');
  await repository.push();
  await slipway.ready('shop', 'staging', again);
  expect(JSON.parse((await slipway.request('staging.shop.localhost')).body)).toMatchObject({ text: 'release 1' });
});

test('Ctrl-C of the push leaves the rollout running', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = sampleYaml('shop', 'checks:\n  slow: { run: sleep 1 }\n  quick: { run: "true" }\n');
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml }));
  const push = startProcess('git', ['push', repository.remote, 'main'], { cwd: repository.folder });
  await push.waitForOutput(/check quick \.\.\. passed/);
  // As a terminal does it: git and the helper that talks to the server both get it.
  process.kill(-push.pid, 'SIGINT');
  await push.exited;
  expect(push.output()).not.toContain('check slow');
  await slipway.ready('shop', 'staging', await repository.head());
});

test('a worker beside the server goes on with the work when the server is gone', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = sampleYaml('shop', 'checks:\n  slow: { run: sleep 1 }\n');
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml }));
  await repository.push();
  await slipway.startWorker();
  const { seen } = await slipway.nextEvent('check.started');
  await repository.commit({ 'text.txt': 'two' }, 'Two');
  const push = repository.push().catch(() => null);
  await seen;
  slipway.server?.signal('SIGTERM');
  await slipway.server?.exited;
  await push;
  const text = async () =>
    (JSON.parse((await slipway.request('staging.shop.localhost')).body) as { text: string }).text;
  await waitFor(async () => (await text()) === 'two', { what: 'the release that the worker rolled out', seconds: 30 });
});

test('a push to a preview that is being removed begins a new one; one to a preview whose removal waits takes that back', async () => {
  const slipway = await SlipwayUnderTest.start();
  const web = `process.on('SIGTERM', () => undefined);\n${webJs}`;
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop', delivery), web }));
  await repository.push();
  await repository.push('main:refs/heads/feature');
  await slipway.api('DELETE', '/apps/shop/environments/pr-1');
  expect(await slipway.environment('shop', 'pr-1')).toMatchObject({ state: 'removing' });
  await repository.git('checkout', '-q', '-b', 'feature');
  const sha = await repository.commit({ 'text.txt': 'again' }, 'Again');
  expect(await repository.push('feature')).toMatch(/feature is pull request 2.*pr-2: release \d+ ready/s);
  await slipway.ready('shop', 'pr-2', sha);
  await waitFor(async () => (await slipway.events('shop')).some(({ kind }) => kind === 'environment.removed'), {
    what: 'pr-1 to be gone',
  });

  const others = ['one', 'two', 'three'];
  await repository.push(...others.map((name) => `feature:refs/heads/${name}`));
  await repository.push('--delete', 'feature', ...others);
  expect((await slipway.environment('shop', 'pr-2')).reason).toMatch(/removal waits for a person/);
  const back = await repository.commit({ 'text.txt': 'back' }, 'Back');
  await repository.push('feature');
  expect(await slipway.ready('shop', 'pr-2', back)).toMatchObject({ reason: null, branch: 'feature' });
});

test('what is not declared any more gets no new commits; the default branch may be renamed', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: sampleYaml('shop', delivery) }));
  await repository.push();
  const first = await repository.head();
  const without = delivery
    .replace('  staging: { branch: main }\n', '  live: { branch: main }\n')
    .replace('staging', 'live');
  const second = await repository.commit({ 'slipway.yaml': sampleYaml('shop', without) }, 'No staging');
  await repository.push();
  await slipway.ready('shop', 'live', second);
  await repository.commit({ 'text.txt': 'three' }, 'Three');
  await repository.push();
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { commit: first }, branch: null });
  const undeclared = (await slipway.events('shop')).filter(({ kind }) => kind === 'environment.undeclared');
  expect(undeclared).toHaveLength(1);

  const trunk = await repository.commit(
    { 'slipway.yaml': sampleYaml('shop', without.replace('main', 'trunk')) },
    'Trunk',
  );
  await repository.push('main:refs/heads/trunk', ':refs/heads/main');
  await slipway.ready('shop', 'live', trunk);
  expect(await slipway.app('shop')).toMatchObject({ defaultBranch: 'trunk' });
});

test('a migration is not cut off by a newer commit, nor does the next one overlap it; cancelling ends it', async () => {
  const slipway = await SlipwayUnderTest.start();
  const journal = await journalFile();
  const migrate = (seconds: number) =>
    sampleYaml(
      'shop',
      `jobs:\n  migrate: { run: 'echo "+$SLIPWAY_RELEASE" >> ${journal}; sleep ${seconds}; echo "-$SLIPWAY_RELEASE" >> ${journal}', when: before-deploy }\n`,
    );
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml: migrate(2) }));
  const started = await slipway.nextEvent('job.started');
  const first = repository.push();
  await started.seen;
  const newest = await repository.commit({ 'slipway.yaml': migrate(0) }, 'Quick');
  await repository.push();
  await first;
  await slipway.ready('shop', 'staging', newest);
  expect((await readFile(journal, 'utf8')).split('\n')).toEqual(['+1', '-1', '+2', '-2', '']);

  await repository.commit({ 'slipway.yaml': migrate(600) }, 'Endless');
  const again = await slipway.nextEvent('job.started');
  const endless = repository.push();
  await again.seen;
  const { rollout } = await slipway.environment('shop', 'staging');
  await slipway.api('POST', `/rollouts/${rollout?.id}/cancel`);
  expect(await endless).toMatch(/was cancelled: local cancelled it/);
  await waitFor(async () => (await slipway.events('shop')).findLast(({ kind }) => kind === 'job.failed'), {
    what: 'the job to be ended',
  });
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { commit: newest } });
});
