import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { hostOf, instancesOf, plan, release, service, worker, type World } from './world.ts';

export function convergeTests(world: () => World): void {
  test('a plan becomes true: processes run, requests arrive, the status tells where', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const accepted = await engine.converge(
      plan(name, 1, [release(1, app, { variables: { GREETING: 'moin', EMPTY: '' } })]),
    );
    expect(accepted).toMatchObject({ environment: name, generation: 1, traffic: [] });
    const status = await watcher.serves(name, 1);
    expect(instancesOf(status, 1)).toMatchObject([{ kind: 'service', state: 'ready', restarts: 0, failure: null }]);
    expect(status.urls['web']).toContain(`http://${hostOf(name)}`);
    const variables = JSON.parse(await (await request(hostOf(name), '/variables')).text()) as unknown;
    expect(variables).toMatchObject({
      GREETING: 'moin',
      EMPTY: '',
      SLIPWAY_APP: 'conform',
      SLIPWAY_ENVIRONMENT: name.split('/')[1],
      SLIPWAY_RELEASE: '1',
      SLIPWAY_COMMIT: '1'.padStart(40, '0'),
    });
  });

  test('processes get the variables that were declared, and none of the engine', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    process.env['SLIPWAY_TEST_LEAK'] = 'secret of the engine';
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const variables: Record<string, string> = JSON.parse(await (await request(hostOf(name), '/variables')).text());
    expect(Object.keys(variables)).not.toContain('SLIPWAY_TEST_LEAK');
    expect(Object.values(variables).join(' ')).not.toContain('secret of the engine');
  });

  test('the same plan again changes nothing', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const first = plan(name, 1, [release(1, app)]);
    await engine.converge(first);
    await watcher.serves(name, 1);
    const pid = await (await request(hostOf(name), '/pid')).text();
    await engine.converge(first);
    const again = await engine.converge({ ...first, generation: 2 });
    expect(again).toMatchObject({ generation: 2, traffic: [{ release: 1, weight: 100 }] });
    expect(await (await request(hostOf(name), '/pid')).text()).toBe(pid);
  });

  test('an older plan is refused as a conflict and changes nothing', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 5, [release(2, app)]));
    await watcher.serves(name, 2);
    await expect(engine.converge(plan(name, 4, [release(1, app)]))).rejects.toMatchObject({ kind: 'conflict' });
    // Neither may two plans share a generation.
    await expect(engine.converge(plan(name, 5, [release(1, app)]))).rejects.toMatchObject({ kind: 'conflict' });
    expect(watcher.newest(name)).toMatchObject({ generation: 5, traffic: [{ release: 2, weight: 100 }] });
  });

  test('a plan that contradicts itself is a mistake, and the plan before it stays', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const needy = release(2, app, { services: [service('web', 'node web.js', { needs: ['nobody'] })] });
    await expect(engine.converge(plan(name, 2, [needy]))).rejects.toMatchObject({ kind: 'mistake' });
    const weights = plan(name, 2, [release(1, app, { weight: 30 })]);
    await expect(engine.converge(weights)).rejects.toMatchObject({ kind: 'mistake' });
    expect(watcher.newest(name)).toMatchObject({ generation: 1 });
  });

  test('a newer plan takes over from one still in progress', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(
      plan(name, 1, [release(1, app, { services: [service('web', 'node deaf.js', { stopSeconds: 1 })] })]),
    );
    await watcher.until(name, 'release 1 to start', (status) =>
      instancesOf(status, 1).some((one) => one.state === 'starting'),
    );
    await engine.converge(plan(name, 2, [release(2, app)]));
    await watcher.serves(name, 2);
    await watcher.until(name, 'release 1 to be gone', (status) => instancesOf(status, 1).length === 0);
  });

  test('replicas run side by side; their number changes without a restart', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const scaled = (replicas: number) => release(1, app, { services: [service('web', 'node web.js', { replicas })] });
    await engine.converge(plan(name, 1, [scaled(2)]));
    const two = await watcher.until(
      name,
      'two instances',
      (status) => instancesOf(status, 1).filter((one) => one.state === 'ready').length === 2,
    );
    await engine.converge(plan(name, 2, [scaled(3)]));
    const three = await watcher.until(
      name,
      'three instances',
      (status) => instancesOf(status, 1).filter((one) => one.state === 'ready').length === 3,
    );
    const ids = (instances: { id: string }[]) => instances.map((one) => one.id);
    expect(ids(instancesOf(three, 1))).toEqual(expect.arrayContaining(ids(instancesOf(two, 1))));
    const pids = new Set<string>();
    await waitFor(async () => pids.add(await (await request(hostOf(name), '/pid')).text()).size === 3, {
      what: 'each instance to get a request',
    });
    await engine.converge(plan(name, 3, [scaled(1)]));
    const one = await watcher.until(name, 'one instance', (status) => instancesOf(status, 1).length === 1);
    expect(ids(instancesOf(three, 1))).toEqual(expect.arrayContaining(ids(instancesOf(one, 1))));
    expect(instancesOf(one, 1)).toMatchObject([{ restarts: 0 }]);
  });

  test('a service starts after those it needs, and reaches them under their URL', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const api = service('api', 'READY_AFTER=400 node web.js', { route: null });
    const web = service('web', 'node web.js', { needs: ['api'] });
    await engine.converge(plan(name, 1, [release(7, app, { services: [web, api] })]));
    await watcher.serves(name, 7);
    const states = watcher
      .history(name)
      .map((status) => `${instancesOf(status, 7, 'api')[0]?.state} ${instancesOf(status, 7, 'web')[0]?.state}`);
    expect(states).toContain('starting pending');
    expect(states.filter((state) => state.startsWith('starting') && !state.endsWith('pending'))).toEqual([]);
    expect(await (await request(hostOf(name), '/peer')).text()).toMatch(/^7 http:\/\//);
  });

  test('routes: the longest matching path decides, and a service without a route is not public', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const services = [
      service('web', 'node web.js'),
      service('admin', 'node web.js', { route: '/release' }),
      service('hidden', 'node web.js', { route: null }),
    ];
    await engine.converge(plan(name, 1, [release(3, app, { services })]));
    const status = await watcher.serves(name, 3);
    expect(Object.keys(status.urls).sort()).toEqual(['admin', 'web']);
    expect((await request(hostOf(name), '/pid')).status).toBe(200);
    expect(await (await request(hostOf(name), '/release')).text()).toBe('3');
  });

  test('a process has variables of its own beside those of its release, and another one starts anew when they change', async () => {
    const { engine, watcher, request, app, environment } = world();
    const name = environment();
    const of = (colour: string) => [
      release(1, app, {
        variables: { SHAPE: 'round', COLOUR: 'grey' },
        services: [
          service('web', 'exec node web.js', { variables: { COLOUR: colour } }),
          service('other', 'exec node web.js', { route: '/other' }),
        ],
      }),
    ];
    await engine.converge(plan(name, 1, of('red')));
    await watcher.serves(name, 1);
    const variables = async (): Promise<unknown> =>
      JSON.parse(await (await request(hostOf(name), '/variables')).text());
    expect(await variables()).toMatchObject({ SHAPE: 'round', COLOUR: 'red' });
    const before = watcher.newest(name);
    const [untouched] = before === undefined ? [] : instancesOf(before, 1, 'other');
    await engine.converge(plan(name, 2, of('blue')));
    await waitFor(async () => JSON.stringify(await variables()).includes('blue'), {
      what: 'the new value',
      seconds: 20,
    });
    const after = watcher.newest(name);
    expect(after === undefined ? [] : instancesOf(after, 1, 'other')).toMatchObject([{ pid: untouched?.pid }]);
  });

  test('a worker runs without a port and is started again when it ends', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    const workers = [worker('ticker', 'node worker.js'), worker('flaky', 'sleep 0.6; exit 5')];
    await engine.converge(plan(name, 1, [release(1, app, { services: [], workers })]));
    await watcher.until(
      name,
      'the worker to be ready',
      (status) => instancesOf(status, 1, 'ticker')[0]?.state === 'ready',
    );
    const status = await watcher.until(
      name,
      'the other to fail',
      (status) => (instancesOf(status, 1, 'flaky')[0]?.restarts ?? 0) > 0,
    );
    expect(instancesOf(status, 1, 'ticker')).toMatchObject([{ kind: 'worker', address: null }]);
    const failed = watcher
      .history(name)
      .flatMap((seen) => instancesOf(seen, 1, 'flaky'))
      .find((one) => one.state === 'failing');
    expect(failed?.failure).toMatchObject({ code: 'crashed', exitCode: 5 });
  });

  test('remove takes everything of one environment and nothing of another; nothing to remove is fine', async () => {
    const { engine, watcher, request, app, environment } = world();
    const [name, other] = [environment(), environment()];
    await engine.converge(plan(name, 1, [release(1, app, { workers: [worker('ticker', 'node worker.js')] })]));
    await engine.converge(plan(other, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    await watcher.serves(other, 1);
    const pid = await (await request(hostOf(other), '/pid')).text();
    await engine.remove(name);
    await waitFor(() => watcher.seen.some((seen) => seen.kind === 'removed' && seen.environment === name), {
      what: 'the removal to be reported',
    });
    expect((await request(hostOf(name), '/')).status).toBe(404);
    expect(await (await request(hostOf(other), '/pid')).text()).toBe(pid);
    await engine.remove(name);
    await engine.remove('conform/never-was');
    // It may come again, from its first generation.
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
  });

  test('observe gives what there is, then synced, then each change, until it is aborted', async () => {
    const { engine, watcher, app, environment } = world();
    const [name, later] = [environment(), environment()];
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const observation of engine.observe(abort.signal)) {
      seen.push(observation.kind === 'status' ? observation.status.environment : observation.kind);
      if (observation.kind === 'synced') await engine.converge(plan(later, 1, [release(1, app)]));
      if (seen.at(-1) === later) abort.abort();
    }
    expect(seen.indexOf(name)).toBeLessThan(seen.indexOf('synced'));
    expect(seen.indexOf(name)).toBeGreaterThanOrEqual(0);
    expect(seen.indexOf(later)).toBeGreaterThan(seen.indexOf('synced'));
  });
}
