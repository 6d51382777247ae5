import { Watcher, hostOf, instancesOf, plan, release, service } from '@slipway/engine/conformance';
import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { agentUnderTest } from './agent-under-test.ts';

test('an app that ends at once on SIGTERM gets it only after its last request', async () => {
  const under = await agentUnderTest();
  const watcher = new Watcher(under.engine);
  onTestFinished(async () => {
    await watcher.stop();
    await under.dispose();
  });
  const app = await under.artifact({
    'web.js': `
      let finish = () => {};
      require('node:http').createServer((request, response) => {
        if (request.url === '/finish') { finish(); return response.end(); }
        if (request.url !== '/slow') return response.end();
        console.log('slow has begun');
        finish = () => response.end(process.env.SLIPWAY_RELEASE);
      }).listen(process.env.PORT);`,
  });
  const services = [service('web', 'exec node web.js', { health: null })];
  await under.engine.converge(plan('drain/one', 1, [release(1, app, { services })]));
  const old = instancesOf(await watcher.serves('drain/one', 1), 1)[0];
  const slow = under.request(hostOf('drain/one'), '/slow');
  await waitFor(
    async () => {
      const request = { environment: 'drain/one', source: 'web', lines: 1, follow: false };
      return (await Array.fromAsync(under.engine.logs(request, new AbortController().signal))).length > 0;
    },
    { what: 'the slow request to be in flight' },
  );
  await under.engine.converge(plan('drain/one', 2, [release(2, app, { services })]));
  await watcher.until('drain/one', 'the old one to drain', (status) =>
    instancesOf(status, 1).some((one) => one.state === 'draining'),
  );
  // It may be ended before its answer to this one, which did not come through the router, is out.
  await fetch(`${old?.address}/finish`).catch(() => undefined);
  const answer = await slow;
  expect([answer.status, await answer.text()]).toEqual([200, '1']);
  await watcher.until('drain/one', 'the old one to be gone', (status) => instancesOf(status, 1).length === 0);
});
