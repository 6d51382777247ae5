import { expect, test } from 'vitest';
import { hostOf, instancesOf, plan, release, service, servesOnly, type World } from './world.ts';

export function rolloutTests(world: () => World): void {
  test('a switch of releases under load fails no request, slow ones included', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const host = hostOf(name);
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    let generation = 1;
    const loading = new AbortController();
    const answers: string[] = [];
    const load = async (path: string): Promise<void> => {
      while (!loading.signal.aborted) {
        const answer = await request(host, path).catch((error: unknown) => ({
          status: 0,
          text: async () => String(error),
        }));
        answers.push(`${answer.status} ${await answer.text()}`);
      }
    };
    const loads = ['/release', '/release', '/slow?ms=300', '/slow?ms=50'].map(load);
    for (const number of [2, 3, 4]) {
      await engine.converge(
        plan(name, (generation += 1), [release(number - 1, app, { weight: 0 }), release(number, app)]),
      );
      await watcher.serves(name, number);
      await engine.converge(plan(name, (generation += 1), [release(number, app)]));
      await watcher.until(
        name,
        `release ${number - 1} to be gone`,
        (status) => instancesOf(status, number - 1).length === 0,
      );
    }
    loading.abort();
    await Promise.all(loads);
    expect(answers.filter((answer) => !/^200 [1-4]$/.test(answer))).toEqual([]);
    expect(new Set(answers)).toEqual(new Set(['200 1', '200 2', '200 3', '200 4']));
  });

  test('a release that fails never gets a request; the old one serves, and the reason and last lines are told', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const broken = release(2, app, { services: [service('web', 'node broken.js')] });
    await engine.converge(plan(name, 2, [release(1, app, { weight: 0 }), broken]));
    const status = await watcher.until(
      name,
      'release 2 to fail',
      (seen) => instancesOf(seen, 2)[0]?.state === 'failing',
    );
    const failure = instancesOf(status, 2)[0]?.failure;
    expect(failure).toMatchObject({ code: 'crashed', exitCode: 3 });
    expect(failure?.lastLines).toEqual(expect.arrayContaining(['reading the config', 'no such thing: DATABASE_URL']));
    expect(servesOnly(status, 1)).toBe(true);
    expect(await (await request(hostOf(name), '/release')).text()).toBe('1');
    await engine.converge(plan(name, 3, [release(1, app)]));
    await watcher.until(name, 'release 2 to be gone', (seen) => instancesOf(seen, 2).length === 0);
    expect(await (await request(hostOf(name), '/release')).text()).toBe('1');
  });

  test('a plan that drops a serving release lets it serve until another can', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    await engine.converge(plan(name, 2, [release(2, app, { variables: { READY_AFTER: '600' } })]));
    await watcher.until(name, 'release 2 to start', (status) => instancesOf(status, 2)[0]?.state === 'starting');
    expect(await (await request(hostOf(name), '/release')).text()).toBe('1');
    await watcher.serves(name, 2);
    await watcher.until(name, 'release 1 to be gone', (status) => instancesOf(status, 1).length === 0);
    expect(watcher.history(name).filter((status) => status.generation === 2 && status.traffic.length === 0)).toEqual(
      [],
    );
    const drained = watcher.history(name).find((status) => instancesOf(status, 1)[0]?.state === 'draining');
    expect(drained?.traffic).toEqual([{ release: 2, weight: 100 }]);
  });

  test('instances of a release that stays are not restarted', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const pid = await (await request(hostOf(name), '/pid')).text();
    await engine.converge(plan(name, 2, [release(1, app), release(2, app, { weight: 0 })]));
    await watcher.until(name, 'release 2 to be ready', (status) => instancesOf(status, 2)[0]?.state === 'ready');
    await engine.converge(plan(name, 3, [release(1, app)]));
    await watcher.until(name, 'release 2 to be gone', (status) => instancesOf(status, 2).length === 0);
    expect(await (await request(hostOf(name), '/pid')).text()).toBe(pid);
  });

  test('weights share the traffic between releases that can serve', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app, { weight: 75 }), release(2, app, { weight: 25 })]));
    await watcher.until(name, 'both to serve', (status) => status.traffic.length === 2);
    const counts = new Map<string, number>();
    for (let index = 0; index < 40; index += 1) {
      const number = await (await request(hostOf(name), '/release')).text();
      counts.set(number, (counts.get(number) ?? 0) + 1);
    }
    expect(counts.get('1')).toBeGreaterThan(counts.get('2') ?? 0);
    expect(counts.get('2')).toBeGreaterThan(0);
  });

  test('with all weights 0 nothing is served', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    await engine.converge(plan(name, 2, []));
    await watcher.until(
      name,
      'nothing to be left',
      (status) => status.traffic.length === 0 && status.instances.every((one) => one.state === 'gone'),
    );
  });

  test('an instance that dies is started again and serves again', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    await request(hostOf(name), '/crash').catch(() => undefined);
    await watcher.until(name, 'a restart', (status) => instancesOf(status, 1)[0]?.restarts === 1);
    await watcher.serves(name, 1);
    expect(await (await request(hostOf(name), '/release')).text()).toBe('1');
  });

  test('a port that never opens and a health that never answers are told apart', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    const services = [
      service('deaf', 'node deaf.js', { startSeconds: 0.5, stopSeconds: 1 }),
      service('ill', 'READY_AFTER=100000 node web.js', { startSeconds: 1.5, stopSeconds: 1 }),
      service('missing', 'no-such-command --now', { startSeconds: 5 }),
    ];
    await engine.converge(plan(name, 1, [release(1, app, { services })]));
    const code = (expected: string, of: string) =>
      watcher.until(
        name,
        `${of} to be ${expected}`,
        (status) => instancesOf(status, 1, of)[0]?.failure?.code === expected,
      );
    const deaf = await code('port-closed', 'deaf');
    expect(instancesOf(deaf, 1, 'deaf')[0]?.failure?.message).toContain('PORT');
    const ill = await code('unhealthy', 'ill');
    expect(instancesOf(ill, 1, 'ill')[0]?.failure?.message).toContain('503');
    await code('command-missing', 'missing');
  });
}
