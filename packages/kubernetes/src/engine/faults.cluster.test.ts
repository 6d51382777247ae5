import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hostOf, instancesOf, plan, release, service, Watcher, webApp } from '@slipway/engine/conformance';
import type { ConformanceSetup } from '@slipway/engine/conformance';
import { waitFor } from '@slipway/testing';
import { givenCluster, type GivenCluster } from '@slipway/testing/cluster';
import { engineUnderTest, type EngineUnderTest } from './engine-under-test.ts';

/** What only Kubernetes can do to an environment, beyond the contract that every engine keeps. */
let made: ConformanceSetup & EngineUnderTest;
let cluster: GivenCluster;
let watcher: Watcher;
let app: string;
let count = 0;

beforeAll(async () => {
  cluster = await givenCluster();
  made = await engineUnderTest();
  await made.engine.start();
  watcher = new Watcher(made.engine);
  app = await made.artifact(webApp);
});

afterAll(async () => {
  await watcher.stop();
  await made.engine.stop();
  await made.dispose();
});

function environment(): { name: string; namespace: string } {
  const place = `f${process.pid}-${(count += 1)}`;
  const name = `faults/${place}`;
  onTestFinished(async () => await made.engine.remove(name));
  return { name, namespace: `faults--${place}` };
}

const deployment = (namespace: string, name: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;

describe('nothing changes', () => {
  test('a plan that is true costs no call', async () => {
    const { name } = environment();
    const same = plan(name, 1, [release(1, app)]);
    await made.engine.converge(same);
    await watcher.serves(name, 1);
    // The last record of the rollout is written after it serves.
    await waitFor(() => made.calls().quietMilliseconds() > 3_000, { what: 'the rollout to come to rest', seconds: 60 });
    const before = made.calls().count();
    await made.engine.converge(same);
    await watcher.serves(name, 1);
    expect(made.calls().count()).toEqual(before);
  });
});

describe('somebody interferes', () => {
  test('an edit is set back; who and what is told', async () => {
    const { name, namespace } = environment();
    await made.engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const path = deployment(namespace, 'web--r1');
    await cluster.api.patch(path, { spec: { template: { spec: { terminationGracePeriodSeconds: 77 } } } });
    await watcher.until(name, 'the edit to be told', ({ notices }) =>
      notices.some((notice) => /Deployment web--r1: ".+" changed .*terminationGracePeriodSeconds/.test(notice)),
    );
    await waitFor(
      async () => {
        const { spec } = await cluster.api.get<{
          spec: { template: { spec: { terminationGracePeriodSeconds: number } } };
        }>(path);
        return spec.template.spec.terminationGracePeriodSeconds !== 77;
      },
      { what: 'the edit to be set back', seconds: 20 },
    );
  });

  test('what somebody adds is his', async () => {
    const { name, namespace } = environment();
    await made.engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const path = `/api/v1/namespaces/${namespace}/services/web--r1`;
    await cluster.api.patch(path, { metadata: { labels: { theirs: 'yes' } } });
    await made.engine.converge(plan(name, 2, [release(1, app, { variables: { A: 'b' } })]));
    await watcher.until(name, 'the second plan', ({ generation, traffic }) => generation === 2 && traffic.length === 1);
    const { metadata } = await cluster.api.get<{ metadata: { labels: Record<string, string> } }>(path);
    expect(metadata.labels['theirs']).toBe('yes');
    expect(watcher.newest(name)?.notices).toEqual([]);
  });

  test('a deleted Service and a deleted namespace come back', async () => {
    const { name, namespace } = environment();
    await made.engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    await cluster.api.delete(`/api/v1/namespaces/${namespace}/services/web--r1`);
    await watcher.until(name, 'the deletion to be told', ({ notices }) =>
      notices.some((notice) => notice.includes('Service web--r1 was deleted')),
    );
    await waitFor(() => cluster.api.get(`/api/v1/namespaces/${namespace}/services/web--r1`), {
      what: 'the Service',
      seconds: 20,
    });
    await cluster.api.delete(`/api/v1/namespaces/${namespace}`);
    await watcher.until(name, 'nothing to be served', ({ traffic }) => traffic.length === 0, 40);
    await watcher.until(name, 'it to serve again', ({ traffic }) => traffic[0]?.release === 1, 90);
    expect(await (await made.request(hostOf(name), '/release')).text()).toBe('1');
  });

  test("somebody else's namespace is not taken", async () => {
    const { name, namespace } = environment();
    onTestFinished(async () => await cluster.api.delete(`/api/v1/namespaces/${namespace}`));
    await cluster.api.create('/api/v1/namespaces', { metadata: { name: namespace } });
    await made.engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.until(name, 'the reason', ({ notices }) =>
      notices.some((notice) => notice.includes(`${namespace} exists and is not Slipway's`)),
    );
    await made.engine.remove(name);
    await cluster.api.get(`/api/v1/namespaces/${namespace}`);
  });
});

describe('a namespace that does not go', () => {
  test('is told by name with what holds it, and its successor comes up beside it', async () => {
    const { name, namespace } = environment();
    await made.engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const path = `/api/v1/namespaces/${namespace}/configmaps/held`;
    await cluster.api.create(`/api/v1/namespaces/${namespace}/configmaps`, {
      metadata: { name: 'held', finalizers: ['example.com/holds-it'] },
    });
    onTestFinished(async () => void (await cluster.api.patch(path, { metadata: { finalizers: null } })));
    const removal = made.engine.remove(name);
    removal.catch(() => undefined);
    await watcher.until(
      name,
      'the reason',
      ({ notices }) => notices.some((notice) => notice.includes(namespace) && notice.includes('example.com/holds-it')),
      60,
    );
    await made.engine.converge(plan(name, 1, [release(2, app)]));
    await watcher.serves(name, 2);
    expect(await (await made.request(hostOf(name), '/release')).text()).toBe('2');
  });
});

describe('why it does not run', () => {
  const failure = async (name: string, seconds: number) =>
    await watcher
      .until(name, 'a failure', (status) => instancesOf(status, 1)[0]?.state === 'failing', seconds)
      .then((status) => instancesOf(status, 1)[0]?.failure);

  test('no such image', async () => {
    const { name } = environment();
    await made.engine.converge(plan(name, 1, [release(1, 'slipway.test/nobody-made-it:1')]));
    expect(await failure(name, 60)).toMatchObject({
      code: 'image-missing',
      message: expect.stringContaining('slipway.test/nobody-made-it:1'),
    });
  });

  test('no node has room; what would fit is told', async () => {
    const { name } = environment();
    const size = { cpu: 0.1, memory: 2 ** 44 };
    await made.engine.converge(
      plan(name, 1, [release(1, app, { services: [service('web', 'node web.js', { size })] })]),
    );
    const found = await failure(name, 60);
    expect(found).toMatchObject({ code: 'unschedulable' });
    expect(found?.message).toMatch(/Insufficient memory.*The most room is on node\d: .* MiB of memory are free/);
  });

  test('more memory than its limit', async () => {
    const { name } = environment();
    const hog = `node -e "const all = []; setInterval(() => all.push(Buffer.alloc(16777216, 1)), 5)"`;
    const size = { cpu: 0.1, memory: 128 * 2 ** 20 };
    await made.engine.converge(plan(name, 1, [release(1, app, { services: [service('web', hog, { size })] })]));
    expect(await failure(name, 60)).toMatchObject({ code: 'out-of-memory' });
  });
});
