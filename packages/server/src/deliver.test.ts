import { expect, test } from 'vitest';
import { sampleApp, sampleYaml, SlipwayUnderTest } from './slipway-under-test.ts';

test('a push makes staging run, and shows how', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', {
    ...sampleApp('shop', { yaml: sampleYaml('shop', `checks:\n  test: { run: node -e "console.log('fine')" }\n`) }),
  });
  const output = await repository.push();
  expect(output).toMatch(/remote: check test \.\.\. passed \d+\.\ds/);
  expect(output).toMatch(
    new RegExp(`remote: staging: release 1 ready http://staging\\.shop\\.localhost:${slipway.routerPort}`),
  );
  const staging = await slipway.ready('shop', 'staging', await repository.head());
  expect(staging).toMatchObject({
    environment: 'staging',
    release: { number: 1 },
    services: [{ name: 'web', ready: 1, desired: 1, url: `http://staging.shop.localhost:${slipway.routerPort}` }],
  });
  const answer = await slipway.request('staging.shop.localhost');
  expect(JSON.parse(answer.body)).toMatchObject({ text: 'hello', release: '1' });
});

test('a branch is a pull request: its preview is made, updated, and removed with it', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop'));
  await repository.push();
  await repository.git('checkout', '-q', '-b', 'feature/Größe_1');
  const first = await repository.commit({ 'text.txt': 'feature one' }, 'One');
  const output = await repository.push('feature/Größe_1');
  expect(output).toContain('is pull request 1; its environment is pr-1');
  expect(output).toMatch(/remote: pr-1: release 2 ready http:\/\/pr-1\.shop\.localhost/);
  await slipway.ready('shop', 'pr-1', first);
  expect(JSON.parse((await slipway.request('pr-1.shop.localhost')).body)).toMatchObject({ text: 'feature one' });

  const second = await repository.commit({ 'text.txt': 'feature two' }, 'Two');
  await repository.push('feature/Größe_1');
  await slipway.ready('shop', 'feature/Größe_1', second);
  expect(JSON.parse((await slipway.request('pr-1.shop.localhost')).body)).toMatchObject({ text: 'feature two' });

  const deleted = await repository.push('--delete', 'feature/Größe_1');
  expect(deleted).toContain('pr-1 is removed');
  expect(await slipway.api('GET', '/why?thing=shop/pr-1')).toMatchObject({
    summary: expect.stringMatching(/^pr-1 was removed at/) as string,
  });
  await expect(slipway.environment('shop', 'pr-1')).rejects.toThrow(/404.*no environment pr-1/);
  expect((await slipway.request('pr-1.shop.localhost')).status).toBe(404);
  expect(JSON.parse((await slipway.request('staging.shop.localhost')).body)).toMatchObject({ text: 'hello' });
});

test('a rollback restores code and config, and holds automatic deploys until a newer commit', async () => {
  const slipway = await SlipwayUnderTest.start();
  const yaml = sampleYaml('shop', 'config:\n  COLOR: red\n');
  const repository = await slipway.repository('shop', sampleApp('shop', { yaml }));
  await repository.push();
  const good = await repository.head();
  const bad = await repository.commit({ 'text.txt': 'bad', 'slipway.yaml': yaml.replace('red', 'blue') }, 'Bad');
  await repository.push();
  await slipway.ready('shop', 'staging', bad);
  expect(JSON.parse((await slipway.request('staging.shop.localhost')).body)).toMatchObject({
    text: 'bad',
    color: 'blue',
  });

  const rollout = await slipway.api<{ id: string }>('POST', '/apps/shop/environments/staging/rollback', {});
  expect(await slipway.rolloutEnd(rollout.id)).toMatchObject({ state: 'succeeded', release: 1, commit: good });
  expect(JSON.parse((await slipway.request('staging.shop.localhost')).body)).toMatchObject({
    text: 'hello',
    color: 'red',
  });
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ heldSince: bad, release: { number: 1 } });

  // The bad commit again, by another way: it stays out.
  await repository.push(`${good}:refs/heads/main`, '--force');
  const again = await repository.push('main');
  expect(again).toContain('is held after a rollback');
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { number: 1 } });

  const fix = await repository.commit({ 'text.txt': 'fixed' }, 'Fix');
  await repository.push();
  expect(await slipway.ready('shop', 'staging', fix)).toMatchObject({ heldSince: null });
});

test('an older commit never replaces a newer one', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', sampleApp('shop'));
  const older = await repository.head();
  await repository.push();
  const newer = await repository.commit({ 'text.txt': 'newer' }, 'Newer');
  await repository.push();
  await slipway.ready('shop', 'staging', newer);
  const output = await repository.push(`${older}:refs/heads/main`, '--force');
  expect(output).toMatch(/is older than [0-9a-f]{8}.*slipway rollback shop\/staging/);
  await expect(slipway.api('POST', '/apps/shop/environments/staging/deploy', { commit: older })).rejects.toThrow(
    /409.*older commit never replaces a newer one/,
  );
  expect(await slipway.environment('shop', 'staging')).toMatchObject({ release: { commit: newer }, state: 'ready' });
});
