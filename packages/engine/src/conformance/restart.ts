import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { job } from './jobs.ts';
import { hostOf, instancesOf, plan, release, service, type World } from './world.ts';

/** The engine's own process is killed with SIGKILL at awkward moments; its plans and what is found running must be enough. */
export function restartTests(world: () => World): void {
  test('instances survive it, are adopted and not restarted; requests and logs go on', async (context) => {
    const { engine, watcher, request, restart, app, environment } = world();
    if (restart === undefined) return context.skip('this engine has no process of its own');
    const name = environment();
    const logged = async (): Promise<string> => {
      const request = { environment: name, source: 'web', lines: 10, follow: false };
      const lines = await Array.fromAsync(engine.logs(request, new AbortController().signal));
      return lines.map((line) => line.line).join();
    };
    await engine.converge(plan(name, 1, [release(1, app)]));
    const before = await watcher.serves(name, 1);
    const pid = await (await request(hostOf(name), '/pid')).text();
    await request(hostOf(name), '/log?line=before');
    await waitFor(async () => (await logged()) === 'before', { what: 'the first line' });
    await restart();
    expect(await (await request(hostOf(name), '/pid')).text()).toBe(pid);
    await request(hostOf(name), '/log?line=after');
    const status = await engine.converge(plan(name, 1, [release(1, app)]));
    expect(instancesOf(status, 1)).toMatchObject([{ id: instancesOf(before, 1)[0]?.id, state: 'ready', restarts: 0 }]);
    await waitFor(async () => (await logged()) === 'before,after', { what: 'lines from before and after' });
    // What was adopted is still watched.
    await request(hostOf(name), '/crash').catch(() => undefined);
    await watcher.until(
      name,
      'a restart of the instance',
      (seen) => instancesOf(seen, 1)[0]?.restarts === 1 && seen.traffic.length === 1,
    );
  });

  test('a rollout that was in progress is finished', async (context) => {
    const { engine, watcher, request, restart, app, environment } = world();
    if (restart === undefined) return context.skip('this engine has no process of its own');
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const slow = [
      service('web', 'node web.js', { needs: ['api'] }),
      service('api', 'READY_AFTER=500 node web.js', { route: null }),
    ];
    await engine.converge(plan(name, 2, [release(2, app, { services: slow })]));
    await restart();
    expect((await request(hostOf(name), '/release')).status).toBe(200);
    await watcher.serves(name, 2);
    await watcher.until(name, 'release 1 to be gone', (status) => instancesOf(status, 1).length === 0);
    expect(await (await request(hostOf(name), '/peer')).text()).toMatch(/^2 http/);
    const running = await engine.converge(plan(name, 2, [release(2, app, { services: slow })]));
    expect(instancesOf(running, 2, 'api')).toHaveLength(1);
    expect(instancesOf(running, 2, 'web')).toHaveLength(1);
  });

  test('what sleeps goes on sleeping, and wakes', async (context) => {
    const { engine, watcher, request, restart, app, environment } = world();
    if (restart === undefined) return context.skip('this engine has no process of its own');
    const name = environment();
    const sleeper = plan(name, 1, [release(1, app)], { sleepSeconds: 0.5 });
    await engine.converge(sleeper);
    await watcher.serves(name, 1);
    await watcher.until(
      name,
      'sleep',
      (status) => status.activity === 'asleep' && status.instances.every((one) => one.state === 'gone'),
    );
    await restart();
    expect(await engine.converge(sleeper)).toMatchObject({ activity: 'asleep', instances: [] });
    expect(await (await request(hostOf(name), '/release')).text()).toBe('1');
  });

  test('a job goes on, or its end is found out; either way it runs once', async (context) => {
    const { engine, artifact, restart } = world();
    if (restart === undefined) return context.skip('this engine has no process of its own');
    const folder = await artifact({ 'seed.txt': 'x' });
    const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const long = job(folder, 'echo begun; sleep 2; echo done; exit 6', { access: 'read-write' });
    const short = job(await artifact({ 'seed.txt': 'x' }), 'echo begun; echo run >> runs.txt; sleep 0.1', {
      access: 'read-write',
    });
    const results = [
      engine.run(long, { output: () => begun[0].resolve() }),
      engine.run(short, { output: () => begun[1].resolve() }),
    ];
    await Promise.all(begun.map((one) => one.promise));
    await restart();
    expect(await results[0]).toMatchObject({ outcome: 'failed', failure: { code: 'crashed', exitCode: 6 } });
    expect(await results[1]).toMatchObject({ outcome: 'succeeded' });
    expect(await engine.run(long)).toMatchObject({ failure: { exitCode: 6 } });
  });
}
