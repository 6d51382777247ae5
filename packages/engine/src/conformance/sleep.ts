import { expect, test } from 'vitest';
import { waitFor } from '@slipway/testing';
import { hostOf, instancesOf, plan, release, service, worker, type World } from './world.ts';

export function sleepTests(world: () => World): void {
  const asleep = async (name: string) =>
    await world().watcher.until(
      name,
      'sleep',
      (status) => status.activity === 'asleep' && status.instances.every((one) => one.state === 'gone'),
    );

  test('an idle environment is stopped; its next request is held until it runs again', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(
      plan(name, 1, [release(1, app, { variables: { LISTEN_AFTER: '200' } })], { sleepSeconds: 0.5 }),
    );
    await watcher.serves(name, 1);
    expect((await asleep(name)).traffic).toEqual([]);
    const answers = await Promise.all([1, 2, 3].map(async () => await request(hostOf(name), '/release')));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
    expect(watcher.history(name).map((status) => status.activity)).toContain('waking');
    const status = await watcher.until(
      name,
      'to be awake',
      (seen) => seen.activity === 'awake' && seen.traffic.length === 1,
    );
    expect(instancesOf(status, 1)).toHaveLength(1);
    await asleep(name);
  });

  test('requests keep it awake, also one that is answered slowly', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)], { sleepSeconds: 0.6 }));
    await watcher.serves(name, 1);
    const before = watcher.history(name).length;
    expect((await request(hostOf(name), '/slow?ms=1500')).status).toBe(200);
    expect(
      watcher
        .history(name)
        .slice(before)
        .filter((status) => status.activity === 'asleep'),
    ).toEqual([]);
    await asleep(name);
  });

  test('a service wakes together with the peers it needs', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const services = [
      service('web', 'node web.js', { needs: ['api'] }),
      service('api', 'node web.js', { route: null }),
    ];
    await engine.converge(plan(name, 1, [release(4, app, { services })], { sleepSeconds: 0.4 }));
    await watcher.serves(name, 4);
    await asleep(name);
    expect(await (await request(hostOf(name), '/peer')).text()).toMatch(/^4 http/);
  });

  test('a service wakes to the peers of its own environment, whatever came meanwhile', async () => {
    const { engine, watcher, request, app, environment } = world();
    const [name, other] = [environment(), environment()];
    const services = [
      service('web', 'node web.js', { needs: ['api'] }),
      service('api', 'node web.js', { route: null }),
    ];
    await engine.converge(plan(name, 1, [release(4, app, { services })], { sleepSeconds: 0.4 }));
    await watcher.serves(name, 4);
    await asleep(name);
    await engine.converge(plan(other, 1, [release(5, app, { services })]));
    await watcher.serves(other, 5);
    expect(await (await request(hostOf(name), '/peer')).text()).toMatch(/^4 http/);
    expect(await (await request(hostOf(other), '/peer')).text()).toMatch(/^5 http/);
  });

  test('a new release wakes it, since it must prove itself; a plan without one does not', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)], { sleepSeconds: 0.4 }));
    await watcher.serves(name, 1);
    await asleep(name);
    expect(await engine.converge(plan(name, 2, [release(1, app)], { sleepSeconds: 0.5 }))).toMatchObject({
      activity: 'asleep',
    });
    expect(await engine.converge(plan(name, 3, [release(2, app)], { sleepSeconds: 0.5 }))).toMatchObject({
      activity: 'awake',
    });
    await watcher.serves(name, 2);
  });

  test('tasks wake it without a request, and keep it awake', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    const of = (replicas: number) => [
      release(1, app, { workers: [worker('ticker', 'exec node worker.js', { replicas })] }),
    ];
    await engine.converge(plan(name, 1, of(0), { sleepSeconds: 0.4 }));
    await watcher.serves(name, 1);
    await asleep(name);
    expect(await engine.converge(plan(name, 2, of(1), { sleepSeconds: 0.4, tasks: 'waiting' }))).toMatchObject({
      activity: 'awake',
    });
    const woken = watcher.history(name).length;
    const runs = await watcher.until(name, 'the worker and the service to be ready', (status) =>
      ['ticker', 'web'].every((one) => instancesOf(status, 1, one).some(({ state }) => state === 'ready')),
    );
    // Longer than it would have been awake without tasks.
    await engine.converge(plan(name, 3, of(1), { sleepSeconds: 0.4, tasks: 'waiting' }));
    const since = runs.instances.find((one) => one.name === 'ticker')?.since ?? 0;
    await waitFor(() => Date.now() - since > 1200, { what: 'some time to pass', seconds: 5 });
    expect(
      watcher
        .history(name)
        .slice(woken)
        .map(({ activity }) => activity),
    ).not.toContain('asleep');
    await engine.converge(plan(name, 4, of(0), { sleepSeconds: 0.4 }));
    await asleep(name);
  });

  test('a release that can no longer start answers the held request with an error, soon', async () => {
    const { engine, watcher, request, artifact, environment } = world();
    const name = environment();
    const app = await artifact({
      'web.js': `
        const fs = require('node:fs'), http = require('node:http');
        if (process.env.BROKEN_AFTER < Date.now()) { console.error('the licence has expired'); process.exit(9); }
        http.createServer((request, response) => response.end('ok')).listen(process.env.PORT);`,
    });
    const variables = { BROKEN_AFTER: String(Date.now() + 1500) };
    await engine.converge(plan(name, 1, [release(1, app, { variables })], { sleepSeconds: 1.6 }));
    await watcher.serves(name, 1);
    await asleep(name);
    const answer = await request(hostOf(name), '/');
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('slipway why');
  });
}
