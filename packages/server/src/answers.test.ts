import { expect, test } from 'vitest';
import { sampleApp, sampleYaml, SlipwayUnderTest } from './slipway-under-test.ts';

/** What a person who pushed something wrong is told; and that the release before keeps serving. */

const good = sampleApp('shop');

interface Case {
  what: string;
  files: Record<string, string>;
  /** What `git push` prints. */
  told: RegExp;
  /** What status says of staging. */
  reason: RegExp;
}

const cases: Case[] = [
  {
    what: 'a broken slipway.yaml',
    files: { 'slipway.yaml': 'app: shop\nservices:\n  web:\n    rnu: node web.js\n' },
    told: /remote: slipway\.yaml:4:5 services\.web.*"?rnu"?.*(did you mean|nearest).*run/is,
    reason: /slipway\.yaml:4:5/,
  },
  {
    what: 'a slipway.yaml of more than a mebibyte',
    files: { 'slipway.yaml': `${sampleYaml('shop')}# ${'x'.repeat(1_100_000)}\n` },
    told: /slipway\.yaml is larger than 1 MiB/,
    reason: /larger than 1 MiB/,
  },
  {
    what: 'the name of another app',
    files: { 'slipway.yaml': sampleYaml('shoe') },
    told: /slipway\.yaml says "app: shoe", but was pushed to shop\.git/,
    reason: /app: shoe/,
  },
  {
    what: 'a failing check',
    files: { 'slipway.yaml': sampleYaml('shop', 'checks:\n  test: { run: echo three tests failed; exit 3 }\n') },
    told: /check test \.\.\. failed[^]*\| three tests failed[^]*Release 1 keeps serving/,
    reason: /check test failed/,
  },
  {
    what: 'a failing build',
    files: {
      'slipway.yaml': sampleYaml('shop').replace('    run:', '    build: echo no such module; exit 1\n    run:'),
    },
    told: /build echo no such module; exit 1 \.\.\. failed[^]*\| no such module/,
    reason: /build "echo no such module; exit 1" failed/,
  },
  {
    what: 'a failing before-deploy job',
    files: {
      'slipway.yaml': sampleYaml(
        'shop',
        'jobs:\n  migrate: { run: "echo table exists; exit 1", when: before-deploy }\n',
      ),
    },
    told: /job migrate \.\.\. failed[^]*\| table exists/,
    reason: /job migrate failed/,
  },
  {
    what: 'a missing command',
    files: { 'slipway.yaml': sampleYaml('shop').replace('exec node web.js', 'exec no-such-program') },
    told: /web: .*no-such-program/s,
    reason: /web: /,
  },
  {
    what: 'a crash loop',
    files: { 'web.js': 'console.log("config is missing"); process.exit(7)' },
    told: /\| config is missing[^]*web \(3 times\): .*7/,
    reason: /web \(3 times\)/,
  },
  {
    what: 'a port that never opens',
    files: {
      'web.js': 'setInterval(() => {}, 1000)',
      'slipway.yaml': sampleYaml('shop').replace('start: 10s', 'start: 1s'),
    },
    told: /web: .*PORT/,
    reason: /web: .*PORT/,
  },
  {
    what: 'a health path that does not answer well',
    files: {
      'web.js': `require('node:http').createServer((q, a) => { a.statusCode = 500; a.end(); }).listen(process.env.PORT)`,
      'slipway.yaml': sampleYaml('shop').replace('start: 10s', 'start: 1s'),
    },
    told: /web: .*\/healthz/,
    reason: /web: .*healthz/,
  },
  {
    what: 'a config file with a misspelt key',
    files: { 'config/staging.yaml': 'COLOUR: red\n', 'slipway.yaml': sampleYaml('shop', 'config: { COLOR: blue }\n') },
    told: /config\/staging\.yaml:1:1.*COLOUR/,
    reason: /config\/staging\.yaml:1:1/,
  },
];

test(
  'what is wrong is told, with what to do; the release before keeps serving; a fix is deployed',
  { timeout: 120_000 },
  async () => {
    const slipway = await SlipwayUnderTest.start();
    const repository = await slipway.repository('shop', good);
    await repository.push();
    for (const { what, files, told, reason } of cases) {
      await repository.commit(files, what);
      const output = (await repository.push()).replaceAll(/\s+$/gm, '');
      expect(output, what).toMatch(told);
      const staging = await slipway.environment('shop', 'staging');
      expect(staging, what).toMatchObject({ state: 'failing', release: { number: 1 } });
      expect(staging.reason, what).toMatch(reason);
      expect((await slipway.request('staging.shop.localhost')).status, what).toBe(200);
      const why = await slipway.api<{ timeline: { message: string }[] }>('GET', '/why?thing=shop/staging');
      expect(why.timeline.map(({ message }) => message).join(' '), what).toMatch(reason);
      await repository.git('rm', '-rq', '--ignore-unmatch', 'config');
      await repository.commit(good, `Fix of ${what}`);
    }
    await repository.push();
    expect(await slipway.ready('shop', 'staging', await repository.head())).toMatchObject({ reason: null });
  },
);

test('a repository without slipway.yaml is told how to make one', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', { 'README.md': 'hello' });
  expect(await repository.push()).toMatch(/slipway\.yaml is missing.*slipway init/);
  await repository.commit(good, 'Add it');
  expect(await repository.push()).toMatch(/staging: release 1 ready/);
});

test('two pushes within a second: the newest runs at the end', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', good);
  await repository.push();
  await repository.commit({ 'text.txt': 'two' }, 'Two');
  const first = repository.push();
  await slipway.until('shop', 'staging', 'has the first push', ({ rollout }) => rollout?.id === '2');
  const newest = await repository.commit({ 'text.txt': 'three' }, 'Three');
  await Promise.all([first, repository.push()]);
  await slipway.ready('shop', 'staging', newest);
  expect((await slipway.request('staging.shop.localhost')).body).toContain('three');
});

test('a slow start is overtaken by a newer commit, at once', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', good);
  await repository.push();
  await repository.commit(
    {
      'slipway.yaml': sampleYaml('shop')
        .replace('exec node', 'sleep 600; exec node')
        .replace('start: 10s', 'start: 600s'),
    },
    'Slow',
  );
  const slow = repository.push();
  await slipway.until('shop', 'staging', 'starts the slow one', ({ rollout }) => rollout?.step === 'starts release 2');
  const fix = await repository.commit(good, 'Fix');
  const output = await repository.push();
  expect(output).toMatch(/staging: release 3 ready/);
  expect(await slow).toMatch(/superseded: rollout 3/);
  await slipway.ready('shop', 'staging', fix);
});

test('a force-push that rewrites history deploys the new head', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository('shop', good);
  await repository.push();
  await repository.commit({ 'text.txt': 'will vanish' }, 'Will vanish');
  await repository.push();
  await repository.git('reset', '-q', '--hard', 'HEAD~1');
  const rewritten = await repository.commit({ 'text.txt': 'rewritten' }, 'Rewritten');
  await repository.push('main', '--force');
  await slipway.ready('shop', 'staging', rewritten);
});

test('a branch before any default branch is told what to push first', async () => {
  const slipway = await SlipwayUnderTest.start();
  const repository = await slipway.repository(
    'shop',
    sampleApp('shop', { yaml: sampleYaml('shop', 'environments:\n  staging: { branch: main }\n') }),
  );
  await repository.git('checkout', '-q', '-b', 'feature');
  expect(await repository.push('feature')).toMatch(/Push the branch that slipway\.yaml names first/);
});
